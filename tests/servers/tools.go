//go:build tools

// Package servers names the programs that tests build, so that go.sum covers them.
package servers

import _ "github.com/versity/versitygw/cmd/versitygw"
