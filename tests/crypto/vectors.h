// Reads the vector files of tests/crypto/vectors: lines of fields separated by spaces.
#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "tests/crypto/hex.h"

namespace firn::crypto::test {

/// One line: fields in hex (bytes) or as they stand (text).
class Vector {
 public:
  explicit Vector(const std::string& line) {
    std::istringstream words(line);
    for (std::string word; words >> word;) {
      fields_.push_back(word == "-" ? "" : word);
    }
  }

  std::size_t size() const { return fields_.size(); }
  const std::string& text(std::size_t field) const { return fields_.at(field); }
  std::vector<std::byte> bytes(std::size_t field) const { return bytes_of(fields_.at(field)); }
  template <std::size_t N>
  std::array<std::byte, N> array(std::size_t field) const {
    EXPECT_EQ(fields_.at(field).size(), 2 * N);
    return array_of<N>(fields_.at(field));
  }

 private:
  std::vector<std::string> fields_;
};

/// All vectors of a file; fails the test if there are none.
inline std::vector<Vector> vectors_in(const std::string& file) {
  std::ifstream lines(FIRN_TEST_SOURCE_DIR "/crypto/vectors/" + file);
  std::vector<Vector> vectors;
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with('#')) {
      vectors.emplace_back(line);
    }
  }
  EXPECT_FALSE(vectors.empty()) << file;
  return vectors;
}

}  // namespace firn::crypto::test
