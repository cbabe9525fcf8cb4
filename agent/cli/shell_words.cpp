#include "agent/cli/shell_words.h"

namespace firn::cli {

Result<std::vector<std::string>> split_shell_words(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  bool in_word = false;
  char quote = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const char next = i + 1 < text.size() ? text[i + 1] : '\0';
    const bool escapes = c == '\\' && next != '\0' &&
                         (quote == 0 || (quote == '"' && (next == '"' || next == '\\' || next == '$')));
    if (escapes) {
      word.push_back(next);
      in_word = true;
      ++i;
    } else if (quote != 0) {
      if (c == quote) {
        quote = 0;
      } else {
        word.push_back(c);
      }
    } else if (c == '\'' || c == '"') {
      quote = c;
      in_word = true;
    } else if (c == ' ' || c == '\t' || c == '\n') {
      if (in_word) {
        words.push_back(std::move(word));
        word.clear();
        in_word = false;
      }
    } else {
      word.push_back(c);
      in_word = true;
    }
  }
  if (quote != 0) {
    return fail(ErrorCode::Invalid, "a quote does not end");
  }
  if (in_word) {
    words.push_back(std::move(word));
  }
  return words;
}

}  // namespace firn::cli
