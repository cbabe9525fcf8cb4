#include "agent/backup/parent.h"

#include <utility>

namespace firn::backup {

ParentEntries::ParentEntries(tree::PageSource& pages, const std::optional<Parent>& parent,
                             std::unique_ptr<state::ResumeReader> resume)
    : resume_(std::move(resume)) {
  if (parent) {
    cursor_.emplace(pages, parent->root);
    parent_scanned_ = parent->snapshot.snapshot.backup_start;
  }
}

Result<std::optional<Known>> ParentEntries::at(const format::Key& key) {
  if (resume_) {
    auto resumed = resumed_at(key);
    if (resumed && *resumed != nullptr) {
      return Known{.entry = *resumed, .scanned = resume_->scan_start()};
    }
    if (!resumed) {
      resume_.reset();  // a damaged log only costs reading again
    }
  }
  if (!cursor_) {
    return std::nullopt;
  }
  auto found = cursor_->at(key);
  if (!found) {
    parent_error_ = std::move(found).error();
    cursor_.reset();
    return std::nullopt;
  }
  if (*found == nullptr) {
    return std::nullopt;
  }
  return Known{.entry = *found, .scanned = parent_scanned_};
}

Result<const format::EntryView*> ParentEntries::resumed_at(const format::Key& key) {
  while (true) {
    if (entry_open_) {
      const auto order = format::compare_keys(page_reader_->key(), key);
      if (order == 0) {
        return &page_reader_->entry();
      }
      if (order > 0) {
        return nullptr;
      }
      entry_open_ = false;
    }
    if (page_reader_) {
      FIRN_LET(entry_open_, page_reader_->next());
      if (entry_open_) {
        continue;
      }
      page_reader_.reset();
    }
    FIRN_LET(std::optional<Bytes> page, resume_->next_page());
    if (!page) {
      return nullptr;
    }
    page_ = *std::move(page);
    FIRN_LET(auto reader, format::LeafPageReader::open(page_));
    page_reader_.emplace(std::move(reader));
  }
}

}  // namespace firn::backup
