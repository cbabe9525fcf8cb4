module firn/bench/peers/kopia

go 1.24

require github.com/kopia/kopia v0.22.3
