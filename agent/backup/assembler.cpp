#include "agent/backup/assembler.h"

#include <utility>

#include "repo/base/check.h"
#include "repo/base/codec.h"

namespace firn::backup {
namespace {

using format::FileType;

std::string shown_path(const Item& item) {
  return "/" + format::path_of({.directory = item.directory->path, .name = item.name});
}

}  // namespace

Result<> Assembler::run() {
  while (auto batch = context_.assembly.pop()) {
    (*batch)->wait();
    if ((*batch)->abandoned) {
      return {};  // whoever abandoned it has said why
    }
    for (Item& item : (*batch)->items) {
      FIRN_TRY(take(item));
    }
  }
  return {};
}

Result<> Assembler::take(Item& item) {
  if (item.problem) {
    problem(item, *item.problem);
    return {};
  }
  return item.work ? take_work(item) : take_record(item);
}

Result<> Assembler::take_record(const Item& item) {
  base::Reader in(item.record);
  format::EntryView view;
  FIRN_CHECK(format::parse_entry(in, view));  // it was copied from a page that had been checked
  FIRN_TRY(context_.tree.add(item.directory->path, view));
  FIRN_TRY(note_bundled(view, false));
  count(item, view.type, view.size_bytes, Action::Unchanged);
  return {};
}

Result<> Assembler::take_work(Item& item) {
  EntryWork& work = *item.work;
  format::Entry& entry = work.entry;
  const bool shared = entry.type == FileType::Regular && work.stat.nlink > 1;
  if (work.alias && !work.error) {
    FIRN_LET(auto first, context_.links.find(work.stat));
    if (first) {
      entry.content = std::move(first->content);
      entry.holes = std::move(first->holes);
      entry.digest = first->digest;
      entry.size_bytes = first->size_bytes;
      entry.changed_while_read = first->changed_while_read;
    } else {
      work.error = Error{ErrorCode::Unavailable, "another name of this file could not be read"};
    }
  }
  for (const Error& note : work.notes) {
    problem(item, note);
  }
  if (work.error) {
    problem(item, *work.error);
    return {};
  }
  if (shared && !work.alias) {
    FIRN_TRY(context_.links.record(work.stat, entry));
  }
  FIRN_TRY(add_entry(item, entry));
  return {};
}

Result<> Assembler::add_entry(const Item& item, const format::Entry& entry) {
  auto added = context_.tree.add(item.directory->path, entry);
  if (!added && added.error().code == ErrorCode::Invalid) {
    problem(item, added.error());
    return {};
  }
  FIRN_TRY(std::move(added));
  FIRN_TRY(note_bundled(entry, true));
  if (entry.changed_while_read) {
    counters_.files_changed_while_reading += 1;
    context_.backup.observer.changed_while_reading(shown_path(item));
  }
  const EntryWork& work = *item.work;
  // It looked the same, but was read to be sure.
  const bool differs =
      work.action == Action::Unchanged && work.before && work.before->content != entry.content;
  count(item, entry.type, entry.size_bytes, differs ? Action::Modified : work.action);
  return {};
}

template <class Entry>
Result<> Assembler::note_bundled(const Entry& entry, bool was_read) {
  const auto slice = bundle_slice(entry);
  if (!slice) {
    return {};
  }
  FIRN_TRY(context_.bundle_use.add(*slice));
  return was_read || context_.contents.wants_all() ? context_.contents.add(*entry.digest, *slice)
                                                   : Result<>();
}

void Assembler::problem(const Item& item, const Error& error) {
  if (error.code == ErrorCode::NotFound && !item.name.empty()) {
    counters_.files_vanished += 1;
    return;
  }
  counters_.errors += 1;
  context_.backup.progress.errors += 1;
  context_.backup.observer.problem(shown_path(item), error);
}

void Assembler::count(const Item& item, FileType type, std::uint64_t size_bytes, Action action) {
  const bool directory = type == FileType::Directory;
  auto& counter = action == Action::New ? (directory ? counters_.dirs_new : counters_.files_new)
                  : action == Action::Modified
                      ? (directory ? counters_.dirs_changed : counters_.files_changed)
                      : (directory ? counters_.dirs_unmodified : counters_.files_unmodified);
  counter += 1;
  if (!directory) {
    counters_.total_files_processed += 1;
    counters_.total_bytes_processed += type == FileType::Regular ? size_bytes : 0;
    context_.backup.progress.files_done += 1;
  }
  context_.backup.observer.item({.action = action,
                                 .path = shown_path(item),
                                 .type = type,
                                 .size_bytes = size_bytes,
                                 .added_bytes = item.work ? item.work->added_bytes : 0,
                                 .added_stored_bytes = item.work ? item.work->added_stored_bytes : 0,
                                 .spent = item.work ? item.work->spent : std::chrono::nanoseconds(0)});
}

}  // namespace firn::backup
