#include "agent/scan/filter.h"

#include <algorithm>
#include <charconv>

namespace firn::scan {

namespace {

constexpr std::uint32_t kUnicodeEnd = 0x110000;

bool get_bit(const PatternList::State& state, std::size_t bit) {
  return (state[bit / 64] >> (bit % 64) & 1) != 0;
}
void set_bit(PatternList::State& state, std::size_t bit) {
  state[bit / 64] |= std::uint64_t{1} << (bit % 64);
}

// Takes one character off the front. A byte that begins no valid UTF-8 becomes a character of its own above
// all of Unicode, so that it equals only itself.
std::uint32_t take_character(std::string_view& text) {
  const auto byte = [&](std::size_t i) -> std::uint32_t { return static_cast<unsigned char>(text[i]); };
  const std::uint32_t lead = byte(0);
  if (lead < 0x80) {
    text.remove_prefix(1);
    return lead;
  }
  const std::size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  constexpr std::uint32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
  if (lead >= 0xc2 && lead <= 0xf4 && text.size() >= length) {
    std::uint32_t character = lead & (0x7fu >> length);
    std::size_t at = 1;
    while (at < length && (byte(at) & 0xc0) == 0x80) {
      character = character << 6 | (byte(at) & 0x3f);
      ++at;
    }
    const bool surrogate = character >= 0xd800 && character < 0xe000;
    if (at == length && character >= kSmallest[length] && character < kUnicodeEnd && !surrogate) {
      text.remove_prefix(length);
      return character;
    }
  }
  text.remove_prefix(1);
  return kUnicodeEnd + lead;
}

void put_character(std::string& out, std::uint32_t c) {
  const auto put = [&](std::uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (c >= kUnicodeEnd) {
    put(c - kUnicodeEnd);
  } else if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xc0 | c >> 6);
    put(0x80 | (c & 0x3f));
  } else if (c < 0x10000) {
    put(0xe0 | c >> 12);
    put(0x80 | (c >> 6 & 0x3f));
    put(0x80 | (c & 0x3f));
  } else {
    put(0xf0 | c >> 18);
    put(0x80 | (c >> 12 & 0x3f));
    put(0x80 | (c >> 6 & 0x3f));
    put(0x80 | (c & 0x3f));
  }
}

// Lower case of Latin, Greek, Cyrillic and Armenian letters. The C library's towlower depends on the locale,
// and what a backup leaves out must not.
std::uint32_t lower(std::uint32_t c) {
  const auto within = [c](std::uint32_t first, std::uint32_t last) { return c >= first && c <= last; };
  if (within('A', 'Z') || (within(0xc0, 0xde) && c != 0xd7) || (within(0x391, 0x3ab) && c != 0x3a2) ||
      within(0x410, 0x42f)) {
    return c + 32;
  }
  if (within(0x100, 0x12f) || within(0x132, 0x137) || within(0x14a, 0x177) || within(0x460, 0x481) ||
      within(0x48a, 0x4bf) || within(0x4d0, 0x52f) || within(0x1e00, 0x1e95) || within(0x1ea0, 0x1eff)) {
    return c | 1;
  }
  if (within(0x139, 0x148) || within(0x179, 0x17e)) {
    return c + (c & 1);
  }
  if (within(0x400, 0x40f)) {
    return c + 80;
  }
  if (within(0x531, 0x556)) {
    return c + 48;
  }
  switch (c) {
    case 0x178:
      return 0xff;
    case 0x386:
      return 0x3ac;
    case 0x388:
    case 0x389:
    case 0x38a:
      return c + 37;
    case 0x38c:
      return 0x3cc;
    case 0x38e:
    case 0x38f:
      return c + 63;
    default:
      return c;
  }
}

std::string lower_text(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    put_character(out, lower(take_character(text)));
  }
  return out;
}

// The components of a pattern, with ".", "..", doubled and trailing slashes resolved as paths resolve them.
std::vector<std::string_view> clean_components(std::string_view text, bool rooted) {
  std::vector<std::string_view> components;
  while (!text.empty()) {
    const std::size_t slash = std::min(text.find('/'), text.size());
    const std::string_view component = text.substr(0, slash);
    text.remove_prefix(std::min(text.size(), slash + 1));
    if (component.empty() || component == ".") {
      continue;
    }
    if (component == ".." && !components.empty() && components.back() != "..") {
      components.pop_back();
    } else if (component != ".." || !rooted) {
      components.push_back(component);
    }
  }
  return components;
}

std::string_view trim(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\n\v\f";
  const std::size_t begin = text.find_first_not_of(kBlanks);
  return begin == std::string_view::npos ? std::string_view{}
                                         : text.substr(begin, text.find_last_not_of(kBlanks) - begin + 1);
}

bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}
bool is_shell_special(char c) {
  return std::string_view("*#$@!?-0123456789").find(c) != std::string_view::npos;
}

// What stands after a '$': the variable's name, and how many bytes it takes with its braces.
struct VariableUse {
  std::string_view name;
  std::size_t length = 0;
};

VariableUse variable_at(std::string_view rest) {
  if (rest.empty()) {
    return {};
  }
  if (rest.front() == '{') {
    const std::size_t end = rest.find('}');
    // An unclosed brace is eaten alone, as restic (Go's os.Expand) does.
    return end == std::string_view::npos ? VariableUse{{}, 1} : VariableUse{rest.substr(1, end - 1), end + 1};
  }
  if (is_shell_special(rest.front())) {
    return {rest.substr(0, 1), 1};
  }
  std::size_t end = 0;
  while (end < rest.size() && is_word(rest[end])) {
    ++end;
  }
  return {rest.substr(0, end), end};
}

std::string expand(std::string_view line, const Environment& environment) {
  std::string out;
  while (!line.empty()) {
    const std::size_t dollar = std::min(line.find('$'), line.size());
    out.append(line.substr(0, dollar));
    line.remove_prefix(dollar);
    if (line.empty()) {
      break;
    }
    line.remove_prefix(1);
    const VariableUse use = variable_at(line);
    line.remove_prefix(use.length);
    if (use.length == 0 || use.name == "$") {
      out.push_back('$');
    } else if (!use.name.empty()) {
      out.append(environment(use.name));
    }
  }
  return out;
}

}  // namespace

Result<std::vector<PatternList::Token>> PatternList::parse_component(std::string_view text) {
  const auto bad = [text] {
    return fail(ErrorCode::Invalid,
                "pattern " + std::string(text) + ": a bracket or backslash is not closed");
  };
  std::vector<Token> tokens;
  std::string_view rest = text;
  while (!rest.empty()) {
    std::uint32_t c = take_character(rest);
    if (c == '*') {
      if (tokens.empty() || tokens.back().kind != Token::Kind::AnyRun) {
        tokens.push_back({Token::Kind::AnyRun, 0, false, {}});
      }
      continue;
    }
    if (c == '?') {
      tokens.push_back({Token::Kind::AnyOne, 0, false, {}});
      continue;
    }
    if (c == '\\') {
      if (rest.empty()) {
        return bad();
      }
      tokens.push_back({Token::Kind::Literal, take_character(rest), false, {}});
      continue;
    }
    if (c != '[') {
      tokens.push_back({Token::Kind::Literal, c, false, {}});
      continue;
    }
    Token token{Token::Kind::Class, 0, false, {}};
    if (rest.starts_with('^')) {
      token.negated = true;
      rest.remove_prefix(1);
    }
    // One end of a range. ']' and '-' need a backslash there.
    const auto take_end = [&rest]() -> std::optional<std::uint32_t> {
      if (rest.empty() || rest.front() == ']' || rest.front() == '-') {
        return std::nullopt;
      }
      std::uint32_t end = take_character(rest);
      if (end == '\\') {
        if (rest.empty()) {
          return std::nullopt;
        }
        end = take_character(rest);
      }
      return end;
    };
    for (;;) {
      if (rest.starts_with(']') && !token.ranges.empty()) {
        rest.remove_prefix(1);
        break;
      }
      const auto first = take_end();
      if (!first) {
        return bad();
      }
      Range range{*first, *first};
      if (rest.starts_with('-')) {
        rest.remove_prefix(1);
        const auto last = take_end();
        if (!last) {
          return bad();
        }
        range.last = *last;
      }
      token.ranges.push_back(range);
    }
    tokens.push_back(std::move(token));
  }
  return tokens;
}

Result<PatternList::Pattern> PatternList::parse_one(std::string_view text, Case sensitivity) {
  Pattern pattern;
  std::string_view body = text;
  if (body.starts_with('!')) {
    pattern.negated = true;
    body.remove_prefix(1);
  }
  if (body.empty() || body.find('\0') != std::string_view::npos) {
    return fail(ErrorCode::Invalid, "pattern '" + std::string(text) + "' is empty or holds a zero byte");
  }
  const std::string folded = sensitivity == Case::Insensitive ? lower_text(body) : std::string(body);
  pattern.rooted = folded.starts_with('/');
  for (const std::string_view piece : clean_components(folded, pattern.rooted)) {
    Component component;
    if (piece == "**") {
      component.any_depth = true;
    } else {
      FIRN_LET(component.tokens, parse_component(piece));
      component.plain = std::all_of(component.tokens.begin(), component.tokens.end(),
                                    [](const Token& token) { return token.kind == Token::Kind::Literal; });
      for (const Token& token : component.tokens) {
        put_character(component.literal, token.character);
      }
    }
    // "**/**" says no more than "**".
    if (!component.any_depth || pattern.components.empty() || !pattern.components.back().any_depth) {
      pattern.components.push_back(std::move(component));
    }
  }
  if (pattern.components.empty() && !pattern.rooted) {
    return fail(ErrorCode::Invalid, "pattern '" + std::string(text) + "' names nothing");
  }
  return pattern;
}

Result<PatternList> PatternList::parse(std::span<const std::string> patterns, Case sensitivity) {
  PatternList list;
  list.sensitivity_ = sensitivity;
  for (const std::string& text : patterns) {
    FIRN_LET(Pattern pattern, parse_one(text, sensitivity));
    pattern.first_bit = list.bits_;
    list.bits_ += pattern.components.size() + 1;
    list.has_negated_ = list.has_negated_ || pattern.negated;
    list.patterns_.push_back(std::move(pattern));
  }
  return list;
}

bool PatternList::class_holds(const Token& token, std::uint32_t character) {
  const bool held = std::any_of(token.ranges.begin(), token.ranges.end(), [character](const Range& range) {
    return range.first <= character && character <= range.last;
  });
  return held != token.negated;
}

// Backs up to the last '*' only: what an earlier one could take, the last one can take too. So the work is at
// most tokens times characters.
bool PatternList::tokens_match(const std::vector<Token>& tokens, std::string_view name) {
  std::size_t at = 0;
  std::size_t star = tokens.size();  // the token after the last '*' that was passed
  std::string_view star_rest;        // what was left of the name when it was tried last
  bool have_star = false;
  while (true) {
    if (at < tokens.size() && tokens[at].kind == Token::Kind::AnyRun) {
      have_star = true;
      star = ++at;
      star_rest = name;
      continue;
    }
    if (at == tokens.size() && name.empty()) {
      return true;
    }
    if (at < tokens.size() && !name.empty()) {
      const Token& token = tokens[at];
      std::string_view after = name;
      const std::uint32_t character = take_character(after);
      const bool fits = token.kind == Token::Kind::AnyOne ||
                        (token.kind == Token::Kind::Literal && token.character == character) ||
                        (token.kind == Token::Kind::Class && class_holds(token, character));
      if (fits) {
        ++at;
        name = after;
        continue;
      }
    }
    if (!have_star || star_rest.empty()) {
      return false;
    }
    take_character(star_rest);
    name = star_rest;
    at = star;
  }
}

bool PatternList::component_matches(const Component& component, std::string_view name) const {
  return component.plain ? component.literal == name : tokens_match(component.tokens, name);
}

// "**" may take no component at all: whoever stands before one stands behind it too.
void PatternList::close_over(const Pattern& pattern, State& state) const {
  for (std::size_t i = 0; i < pattern.components.size(); ++i) {
    if (pattern.components[i].any_depth && get_bit(state, pattern.first_bit + i)) {
      set_bit(state, pattern.first_bit + i + 1);
    }
  }
}

void PatternList::step(const Pattern& pattern, const State& from, std::string_view name, State& to) const {
  const std::size_t count = pattern.components.size();
  if (!pattern.rooted) {
    set_bit(to, pattern.first_bit);  // it may begin at the next component as well
  }
  for (std::size_t i = 0; i < count; ++i) {
    if (!get_bit(from, pattern.first_bit + i)) {
      continue;
    }
    const Component& component = pattern.components[i];
    if (component.any_depth) {
      set_bit(to, pattern.first_bit + i);
    } else if (component_matches(component, name)) {
      set_bit(to, pattern.first_bit + i + 1);
    }
  }
  if (get_bit(from, pattern.first_bit + count)) {
    set_bit(to, pattern.first_bit + count);  // everything below a match matches
  }
  close_over(pattern, to);
}

PatternList::State PatternList::root() const {
  State state((bits_ + 63) / 64);
  for (const Pattern& pattern : patterns_) {
    set_bit(state, pattern.first_bit);
    close_over(pattern, state);
  }
  return state;
}

PatternList::State PatternList::enter(const State& parent, std::string_view name) const {
  State state((bits_ + 63) / 64);
  const std::string folded = sensitivity_ == Case::Insensitive ? lower_text(name) : std::string();
  for (const Pattern& pattern : patterns_) {
    step(pattern, parent, sensitivity_ == Case::Insensitive ? folded : name, state);
  }
  return state;
}

PatternList::Outcome PatternList::match(const State& parent, std::string_view name) const {
  Outcome outcome;
  if (patterns_.empty()) {
    return outcome;
  }
  State to((bits_ + 63) / 64);
  std::string folded;
  if (sensitivity_ == Case::Insensitive) {
    folded = lower_text(name);
    name = folded;
  }
  for (const Pattern& pattern : patterns_) {
    step(pattern, parent, name, to);
    const std::size_t count = pattern.components.size();
    const bool matched = get_bit(to, pattern.first_bit + count);
    if (pattern.negated) {
      outcome.matched = outcome.matched && !matched;
      outcome.below_may_match = outcome.below_may_match && !matched;
      continue;
    }
    bool alive = matched;
    for (std::size_t i = 0; i < count && !alive; ++i) {
      alive = get_bit(to, pattern.first_bit + i);
    }
    outcome.matched = outcome.matched || matched;
    outcome.below_may_match = outcome.below_may_match || alive;
    if (outcome.matched && !has_negated_) {
      break;
    }
  }
  return outcome;
}

PatternList::Outcome PatternList::match_path(std::string_view path) const {
  State state = root();
  std::string_view last;
  bool have_last = false;
  while (!path.empty()) {
    const std::size_t slash = std::min(path.find('/'), path.size());
    const std::string_view component = path.substr(0, slash);
    path.remove_prefix(std::min(path.size(), slash + 1));
    if (component.empty()) {
      continue;
    }
    if (have_last) {
      state = enter(state, last);
    }
    last = component;
    have_last = true;
  }
  return have_last ? match(state, last) : Outcome{false, true};
}

TagFile cache_directory_tag() { return {"CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55"}; }

Result<TagFile> parse_tag_file(std::string_view text) {
  const std::size_t colon = std::min(text.find(':'), text.size());
  TagFile tag{std::string(text.substr(0, colon)), std::string(text.substr(std::min(text.size(), colon + 1)))};
  if (tag.name.empty() || tag.name.find('/') != std::string::npos || tag.name.size() > 255) {
    return fail(ErrorCode::Invalid, "'" + std::string(text) + "' must be the name of a file, not a path");
  }
  return tag;
}

Result<Filter> Filter::make(const FilterOptions& options) {
  Filter filter;
  FIRN_LET(filter.exact_, PatternList::parse(options.excludes, Case::Sensitive));
  FIRN_LET(filter.any_case_, PatternList::parse(options.excludes_any_case, Case::Insensitive));
  filter.tag_files_ = options.exclude_if_present;
  filter.larger_than_ = options.exclude_larger_than_bytes;
  return filter;
}

Filter::State Filter::enter(const State& parent, std::string_view name) const {
  return {exact_.enter(parent.exact, name), any_case_.enter(parent.any_case, name)};
}

bool Filter::excludes(const State& parent, std::string_view name) const {
  return exact_.match(parent.exact, name).matched || any_case_.match(parent.any_case, name).matched;
}

Result<Selection> Selection::make(const SelectionOptions& options) {
  Selection selection;
  FIRN_LET(selection.includes_, PatternList::parse(options.includes, Case::Sensitive));
  FIRN_LET(selection.includes_any_case_, PatternList::parse(options.includes_any_case, Case::Insensitive));
  FIRN_LET(selection.excludes_, PatternList::parse(options.excludes, Case::Sensitive));
  FIRN_LET(selection.excludes_any_case_, PatternList::parse(options.excludes_any_case, Case::Insensitive));
  const bool includes = !selection.includes_.empty() || !selection.includes_any_case_.empty();
  const bool excludes = !selection.excludes_.empty() || !selection.excludes_any_case_.empty();
  if (includes && excludes) {
    return fail(ErrorCode::Invalid, "include and exclude patterns cannot be used together");
  }
  return selection;
}

Selection::State Selection::root() const {
  return {includes_.root(), includes_any_case_.root(), excludes_.root(), excludes_any_case_.root()};
}

Selection::State Selection::enter(const State& parent, std::string_view name) const {
  return {includes_.enter(parent.includes, name), includes_any_case_.enter(parent.includes_any_case, name),
          excludes_.enter(parent.excludes, name), excludes_any_case_.enter(parent.excludes_any_case, name)};
}

bool Selection::takes_everything() const {
  return includes_.empty() && includes_any_case_.empty() && excludes_.empty() && excludes_any_case_.empty();
}

Selection::Outcome Selection::decide(const State& parent, std::string_view name) const {
  if (!includes_.empty() || !includes_any_case_.empty()) {
    const auto exact = includes_.match(parent.includes, name);
    const auto any_case = includes_any_case_.match(parent.includes_any_case, name);
    return {exact.matched || any_case.matched, exact.below_may_match || any_case.below_may_match};
  }
  // Below what is excluded nothing is looked at, so a later '!' cannot take a part of it back.
  const bool excluded = excludes_.match(parent.excludes, name).matched ||
                        excludes_any_case_.match(parent.excludes_any_case, name).matched;
  return {!excluded, !excluded};
}

std::vector<std::string> parse_pattern_file(std::string_view text, const Environment& environment) {
  std::vector<std::string> patterns;
  if (text.starts_with("\xef\xbb\xbf")) {
    text.remove_prefix(3);  // the byte order mark of some editors
  }
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = trim(text.substr(0, end));
    text.remove_prefix(std::min(text.size(), end + 1));
    if (!line.empty() && !line.starts_with('#')) {
      std::string pattern = expand(line, environment);
      if (!pattern.empty()) {
        patterns.push_back(std::move(pattern));
      }
    }
  }
  return patterns;
}

Result<std::uint64_t> parse_size_bytes(std::string_view text) {
  const auto bad = [text] {
    return fail(ErrorCode::Invalid,
                "'" + std::string(text) + "' is not a size: a number, then nothing or one of k, M, G, T");
  };
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{}) {
    return bad();
  }
  const std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  constexpr std::string_view kUnits = "bkmgt";
  std::size_t power = 0;
  if (!unit.empty()) {
    const char letter =
        static_cast<char>(unit.front() >= 'A' && unit.front() <= 'Z' ? unit.front() + 32 : unit.front());
    power = kUnits.find(letter);
    if (unit.size() != 1 || power == std::string_view::npos) {
      return bad();
    }
  }
  if (number > UINT64_MAX >> (10 * power)) {
    return bad();
  }
  return number << (10 * power);
}

}  // namespace firn::scan
