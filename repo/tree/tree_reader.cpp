#include "repo/tree/tree_reader.h"

#include <utility>

#include "repo/base/check.h"
#include "repo/tree/tree_cursor.h"

namespace firn::tree {

namespace {

/// The sort key of (directory, ""), cut before the separator's second byte and ended with `last`: 00 is the
/// directory's own entries, 01 what is below its subdirectories, 02 everything behind.
Bytes range_key(std::string_view directory, std::uint8_t last) {
  Bytes key = format::sort_key({directory, {}});
  key.back() = std::byte{last};
  return key;
}

/// Below every child of the directory and above the root's own entry, which has the empty name.
Bytes first_child_key(std::string_view directory) {
  Bytes key = format::sort_key({directory, {}});
  key.push_back(std::byte{0});
  return key;
}

}  // namespace

struct TreeReader::State {
  State(PageSource& page_source, const format::ChunkSecret& root, ReadOptions read_options)
      : source(page_source), t(root), options(std::move(read_options)), cursor(source, t, options) {}

  Result<bool> next();
  Result<> seek(const Bytes& target);
  Result<> go_to_begin();
  Result<> leave_given();

  PageSource& source;
  const format::ChunkSecret t;
  const ReadOptions options;
  TreeCursor cursor;
  std::optional<Bytes> begin;  // where the first call goes
  bool given = false;          // the cursor's entry was given by next()
  bool any = false;
  bool directory_begins = false;
  std::string directory;        // of the entry that was given last
  std::optional<Error> failed;  // ends the walk: nothing is given after damage
};

/// A range's reader goes to its first entry when it is first used.
Result<> TreeReader::State::go_to_begin() {
  if (!begin) {
    return {};
  }
  const Bytes target = *std::exchange(begin, std::nullopt);
  return cursor.seek(target);
}

/// Before the first entry that next() has not given.
Result<> TreeReader::State::leave_given() {
  if (given && cursor.at() == TreeCursor::At::Entry) {
    given = false;
    return cursor.next_entry();
  }
  return {};
}

Result<bool> TreeReader::State::next() {
  FIRN_TRY(go_to_begin());
  const bool in_same_page = given;
  FIRN_TRY(leave_given());
  FIRN_TRY(cursor.to_entry());
  if (cursor.at() == TreeCursor::At::End) {
    return false;
  }
  given = true;
  directory_begins = false;
  if (!in_same_page || cursor.directory_begins()) {
    const std::string_view now = cursor.key().directory;
    directory_begins = !any || now != directory;
    directory = now;
    any = true;
  }
  return true;
}

Result<> TreeReader::State::seek(const Bytes& target) {
  FIRN_TRY(go_to_begin());
  FIRN_TRY(leave_given());
  return cursor.seek(target);
}

TreeReader::TreeReader(PageSource& source, const format::ChunkSecret& t, ReadOptions options)
    : state_(std::make_unique<State>(source, t, std::move(options))) {}
TreeReader::TreeReader(std::unique_ptr<State> state) : state_(std::move(state)) {}
TreeReader::TreeReader(TreeReader&&) noexcept = default;
TreeReader& TreeReader::operator=(TreeReader&&) noexcept = default;
TreeReader::~TreeReader() = default;

Result<bool> TreeReader::next() {
  if (state_->failed) {
    return Failure(*state_->failed);
  }
  auto more = state_->next();
  if (!more) {
    state_->failed = more.error();
  }
  return more;
}

const format::EntryView& TreeReader::entry() const { return state_->cursor.entry(); }
format::Key TreeReader::key() const { return state_->cursor.key(); }
bool TreeReader::directory_begins() const { return state_->directory_begins; }

Result<> TreeReader::seek(const format::Key& key) { return seek_to(format::sort_key(key)); }

Result<> TreeReader::skip_below(std::string_view directory) {
  if (directory.empty()) {
    state_->begin.reset();
    state_->given = false;
    state_->cursor.go_to_end();
    return {};
  }
  return seek_to(range_key(directory, 2));
}

Result<> TreeReader::seek_to(const Bytes& target) {
  if (state_->failed) {
    return Failure(*state_->failed);
  }
  auto sought = state_->seek(target);
  if (!sought) {
    state_->failed = sought.error();
  }
  return sought;
}

TreeReader TreeReader::list_directory(std::string_view directory) const {
  auto state = std::make_unique<State>(state_->source, state_->t, state_->options);
  state->begin = first_child_key(directory);
  state->cursor.end_before(range_key(directory, 1));
  return TreeReader(std::move(state));
}

TreeReader TreeReader::list_below(std::string_view directory) const {
  auto state = std::make_unique<State>(state_->source, state_->t, state_->options);
  state->begin = first_child_key(directory);
  if (!directory.empty()) {
    state->cursor.end_before(range_key(directory, 2));
  }
  return TreeReader(std::move(state));
}

Result<std::optional<format::Entry>> TreeReader::find(std::string_view path) const {
  const format::Key key = format::key_of(path);
  const bool is_path = path.empty() || (path.front() != '/' && format::directory_is_valid(key.directory) &&
                                        format::name_is_valid(key.name));
  if (!is_path) {
    return std::nullopt;
  }
  const Bytes target = format::sort_key(key);
  TreeCursor cursor(state_->source, state_->t, {});
  FIRN_TRY(cursor.seek(target));
  if (cursor.at() == TreeCursor::At::End || cursor.compare_to(target) != 0) {
    return std::nullopt;
  }
  return format::to_entry(cursor.entry());
}

}  // namespace firn::tree
