// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "tokenizer.hpp"

#include "common/error.hpp"

#include <pare/io/mapped_file.hpp>

#include <charconv>
#include <cstdint>
#include <cstring>
#include <optional>
#include <queue>
#include <span>
#include <utility>

namespace llm {

namespace {

namespace fs = std::filesystem;
using tools::failure;

constexpr token first_byte = 3;  // tokens 3 to 258 stand for single bytes

/// Takes trivially copyable values off the front of some bytes.
class byte_reader {
  public:
    byte_reader(std::span<const std::byte> bytes, std::string file)
        : bytes_(bytes), file_(std::move(file)) {}

    std::span<const std::byte> take(std::size_t n) {
        if (n > bytes_.size())
            throw failure(file_ + ": ends too early for this model's vocabulary");
        const auto taken = bytes_.first(n);
        bytes_ = bytes_.subspan(n);
        return taken;
    }
    template <class T>
    T take() {
        T value;
        std::memcpy(&value, take(sizeof(T)).data(), sizeof(T));
        return value;
    }
    bool done() const { return bytes_.empty(); }

  private:
    std::span<const std::byte> bytes_;
    std::string file_;
};

std::size_t utf8_length(std::string_view text) {
    std::size_t n = 1;
    while (n < text.size() && n < 4 && (static_cast<unsigned char>(text[n]) & 0xc0) == 0x80) ++n;
    return n;
}

/// The byte of a token written <0xHH>.
std::optional<char> raw_byte(std::string_view piece) {
    if (piece.size() != 6 || !piece.starts_with("<0x") || piece[5] != '>') return std::nullopt;
    unsigned value = 0;
    const auto [end, error] = std::from_chars(piece.data() + 3, piece.data() + 5, value, 16);
    if (error != std::errc{} || end != piece.data() + 5) return std::nullopt;
    return static_cast<char>(value);
}

}  // namespace

tokenizer tokenizer::bytes() { return {}; }

tokenizer tokenizer::open(const fs::path& file, std::size_t vocab_size) {
    const auto mapped = tools::value_of(pare::io::mapped_file::open(file.c_str()), file.string());
    byte_reader in(mapped.bytes(), file.string());
    in.take<std::int32_t>();
    tokenizer made;
    for (std::size_t id = 0; id < vocab_size; ++id) {
        made.scores_.push_back(in.take<float>());
        const auto length = in.take<std::int32_t>();
        if (length < 0) throw failure(file.string() + ": is no llama2.c tokenizer");
        const auto piece = in.take(static_cast<std::size_t>(length));
        made.pieces_.emplace_back(reinterpret_cast<const char*>(piece.data()), piece.size());
        made.ids_.emplace(made.pieces_.back(), static_cast<token>(id));
    }
    if (!in.done() || vocab_size < first_byte + 256)
        throw failure(file.string() + ": its vocabulary is not the model's");
    return made;
}

tokenizer tokenizer::for_model(const checkpoint& model, const fs::path& given) {
    const config& c = model.shape();
    if (!given.empty()) return open(given, c.vocab_size);
    if (c.tokenizer == "bytes") {
        if (c.vocab_size < 256) throw failure("a byte vocabulary needs 256 tokens");
        return bytes();
    }
    const fs::path folder = fs::absolute(model.path()).parent_path();
    std::vector<fs::path> found;
    for (const auto& entry : fs::directory_iterator(folder)) {
        const std::string name = entry.path().filename().string();
        if (name == "tokenizer.bin") return open(entry.path(), c.vocab_size);
        if (name.starts_with("tok") && name.ends_with(".bin")) found.push_back(entry.path());
    }
    if (found.size() != 1)
        throw failure("no tokenizer beside " + model.path().string() +
                      "; name a llama2.c tokenizer file with --tokenizer, or work with --ids");
    return open(found.front(), c.vocab_size);
}

std::vector<token> tokenizer::encode(std::string_view text) const {
    std::vector<token> ids;
    if (!has_markers()) {
        for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
        return ids;
    }
    // A list of pieces in text order; merging joins a piece with its right neighbour.
    struct piece {
        token id;
        std::size_t left, right;
        bool alive;
    };
    constexpr std::size_t none = static_cast<std::size_t>(-1);
    std::vector<piece> pieces;
    const auto append = [&](token id) {
        const std::size_t at = pieces.size();
        if (at != 0) pieces[at - 1].right = at;
        pieces.push_back({id, at == 0 ? none : at - 1, none, true});
    };
    std::string spaced(text.empty() ? 0 : 1, ' ');
    spaced += text;
    for (std::string_view rest = spaced; !rest.empty();) {
        const std::string character(rest.substr(0, utf8_length(rest)));
        if (const auto known = ids_.find(character); known != ids_.end()) append(known->second);
        else
            for (const char byte : character) append(first_byte + static_cast<unsigned char>(byte));
        rest.remove_prefix(character.size());
    }

    struct candidate {
        float score;
        std::size_t left, right;
        token left_id, right_id, merged;
        bool operator<(const candidate& other) const {  // best score, then leftmost, on top
            return score != other.score ? score < other.score : left > other.left;
        }
    };
    std::priority_queue<candidate> queue;
    const auto propose = [&](std::size_t left, std::size_t right) {
        if (left == none || right == none) return;
        const token a = pieces[left].id, b = pieces[right].id;
        if (const auto merged = ids_.find(pieces_[a] + pieces_[b]); merged != ids_.end())
            queue.push({scores_[merged->second], left, right, a, b, merged->second});
    };
    for (std::size_t i = 0; i + 1 < pieces.size(); ++i) propose(i, i + 1);
    while (!queue.empty()) {
        const candidate best = queue.top();
        queue.pop();
        piece& left = pieces[best.left];
        piece& right = pieces[best.right];
        if (!left.alive || !right.alive || left.id != best.left_id || right.id != best.right_id)
            continue;
        left.id = best.merged;
        left.right = right.right;
        right.alive = false;
        if (left.right != none) pieces[left.right].left = best.left;
        propose(left.left, best.left);
        propose(best.left, left.right);
    }
    ids.push_back(begin_of_text);
    for (const piece& p : pieces)
        if (p.alive) ids.push_back(p.id);
    return ids;
}

std::string tokenizer::decode(token previous, token id) const {
    if (!has_markers()) return id < 256 ? std::string(1, static_cast<char>(id)) : std::string();
    if (id >= pieces_.size() || id == begin_of_text || id == end_of_text) return {};
    if (const auto byte = raw_byte(pieces_[id])) return std::string(1, *byte);
    const std::string& piece = pieces_[id];
    return previous == begin_of_text && piece.starts_with(' ') ? piece.substr(1) : piece;
}

}  // namespace llm
