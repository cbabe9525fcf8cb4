#include "agent/cli/shell_words.h"

namespace firn::cli {

Result<std::vector<std::string>> split_shell_words(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  bool in_word = false;
  char quote = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool has_next = i + 1 < text.size();
    if (quote == '\'') {
      c == quote ? void(quote = 0) : word.push_back(c);
    } else if (c == '\\' && has_next &&
               (quote == 0 || text[i + 1] == '"' || text[i + 1] == '\\' || text[i + 1] == '$')) {
      word.push_back(text[++i]);
      in_word = true;
    } else if (quote == '"') {
      c == quote ? void(quote = 0) : word.push_back(c);
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
