// Which paths a backup leaves out and which a restore takes: restic's pattern language.
//
// A pattern is a list of components between slashes; each matches one component of the path with `*`, `?`,
// `[a-z]`, `[^a-z]` and `\` before a character that is meant literally; `**` matches any number of
// components, none too. With a leading '/' it begins at the root, without one at any component. It matches
// what it names and everything below. `!` in front takes back what earlier patterns of the list matched.
// Paths begin at the root of the source ("/" of the machine, or of the volume).
//
// Promise: matching takes time proportional to pattern times name, whatever the pattern. Names are raw bytes;
// a byte that is not UTF-8 counts as one character that equals only itself.
// Not here: reading the files that patterns come from. Threads: const members from any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "repo/base/result.h"

namespace firn::scan {

enum class Case : std::uint8_t { Sensitive, Insensitive };

/// A compiled list of patterns.
class PatternList {
 public:
  /// Where every pattern stands after the components of a directory's path.
  using State = std::vector<std::uint64_t>;
  struct Outcome {
    bool matched = false;
    bool below_may_match = false;  // something under this path could match
  };

  PatternList() = default;
  /// Errors: Invalid (names the pattern).
  static Result<PatternList> parse(std::span<const std::string> patterns, Case sensitivity);

  bool empty() const { return patterns_.empty(); }
  /// The state of the root directory.
  State root() const;
  /// The state of the directory `name` in a directory with the state `parent`.
  State enter(const State& parent, std::string_view name) const;
  /// `name` in a directory with the state `parent`.
  Outcome match(const State& parent, std::string_view name) const;
  /// A whole path, "/a/b" or "a/b".
  Outcome match_path(std::string_view path) const;

 private:
  struct Range {
    std::uint32_t first = 0;
    std::uint32_t last = 0;
  };
  struct Token {
    enum class Kind : std::uint8_t { Literal, AnyOne, AnyRun, Class } kind = Kind::Literal;
    std::uint32_t character = 0;
    bool negated = false;
    std::vector<Range> ranges;
  };
  struct Component {
    bool any_depth = false;  // "**"
    bool plain = false;      // `literal` decides; no need to look at tokens
    std::string literal;
    std::vector<Token> tokens;
  };
  struct Pattern {
    bool negated = false;
    bool rooted = false;
    std::size_t first_bit = 0;  // of its components().size() + 1 bits in a State
    std::vector<Component> components;
  };

  static Result<Pattern> parse_one(std::string_view text, Case sensitivity);
  static Result<std::vector<Token>> parse_component(std::string_view text);
  static bool class_holds(const Token& token, std::uint32_t character);
  static bool tokens_match(const std::vector<Token>& tokens, std::string_view name);
  bool component_matches(const Component& component, std::string_view name) const;
  void close_over(const Pattern& pattern, State& state) const;
  void step(const Pattern& pattern, const State& from, std::string_view name, State& to) const;

  std::vector<Pattern> patterns_;
  Case sensitivity_ = Case::Sensitive;
  bool has_negated_ = false;
  std::size_t bits_ = 0;
};

/// A file whose presence makes a directory's content not worth keeping.
struct TagFile {
  std::string name;
  std::string header;  // what the file must begin with; empty = anything
};

/// CACHEDIR.TAG with its signature (https://bford.info/cachedir/).
TagFile cache_directory_tag();
/// "FILE" or "FILE:header". Errors: Invalid.
Result<TagFile> parse_tag_file(std::string_view text);

struct FilterOptions {
  std::vector<std::string> excludes;
  std::vector<std::string> excludes_any_case;
  std::vector<TagFile> exclude_if_present;
  std::optional<std::uint64_t> exclude_larger_than_bytes;
};

/// What a backup leaves out.
class Filter {
 public:
  struct State {
    PatternList::State exact;
    PatternList::State any_case;
  };

  Filter() = default;
  static Result<Filter> make(const FilterOptions& options);

  bool has_patterns() const { return !exact_.empty() || !any_case_.empty(); }
  State root() const { return {exact_.root(), any_case_.root()}; }
  State enter(const State& parent, std::string_view name) const;
  bool excludes(const State& parent, std::string_view name) const;
  bool excludes_size(std::uint64_t size_bytes) const { return larger_than_ && size_bytes > *larger_than_; }
  const std::vector<TagFile>& tag_files() const { return tag_files_; }

 private:
  PatternList exact_;
  PatternList any_case_;
  std::vector<TagFile> tag_files_;
  std::optional<std::uint64_t> larger_than_;
};

struct SelectionOptions {
  std::vector<std::string> includes;
  std::vector<std::string> includes_any_case;
  std::vector<std::string> excludes;
  std::vector<std::string> excludes_any_case;
};

/// What a restore takes: all of it, only what an include matches, or all but what an exclude matches.
class Selection {
 public:
  struct State {
    PatternList::State includes;
    PatternList::State includes_any_case;
    PatternList::State excludes;
    PatternList::State excludes_any_case;
  };
  struct Outcome {
    bool selected = false;
    bool descend = false;  // for a directory: something below may be selected
  };

  Selection() = default;
  /// Errors: Invalid, also for includes together with excludes.
  static Result<Selection> make(const SelectionOptions& options);

  State root() const;
  State enter(const State& parent, std::string_view name) const;
  Outcome decide(const State& parent, std::string_view name) const;
  bool takes_everything() const;

 private:
  PatternList includes_;
  PatternList includes_any_case_;
  PatternList excludes_;
  PatternList excludes_any_case_;
};

/// What an environment variable holds; empty where it is not set.
using Environment = std::function<std::string(std::string_view name)>;

/// The patterns in the text of an exclude or include file: one a line, blanks around it cut, empty lines and
/// lines that begin with '#' left out, $NAME and ${NAME} replaced, $$ standing for '$'.
std::vector<std::string> parse_pattern_file(std::string_view text, const Environment& environment);

/// "1000", "10k", "2M", "3G", "1T": powers of 1024. Errors: Invalid.
Result<std::uint64_t> parse_size_bytes(std::string_view text);

}  // namespace firn::scan
