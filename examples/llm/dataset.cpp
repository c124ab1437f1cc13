// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "dataset.hpp"

#include "common/error.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstring>
#include <iterator>
#include <span>
#include <string>
#include <utility>

namespace llm {

namespace {

namespace fs = std::filesystem;
using pare::io::dtype;
using pare::io::tensor_info;
using tools::failure;

template <class T>
std::vector<std::int64_t> widen(const tensor_info& tensor) {
    std::vector<std::int64_t> numbers(tensor.size());
    for (std::size_t i = 0; i < numbers.size(); ++i) {
        T value;
        std::memcpy(&value, tensor.bytes.data() + i * sizeof(T), sizeof(T));
        numbers[i] = value;
    }
    return numbers;
}

std::vector<std::int64_t> integers(const tensor_info& tensor, const std::string& file) {
    if (tensor.type == dtype::u8) return widen<std::uint8_t>(tensor);
    if (tensor.type == dtype::i32) return widen<std::int32_t>(tensor);
    if (tensor.type == dtype::i64) return widen<std::int64_t>(tensor);
    throw failure(file + ": '" + std::string(tensor.name) + "' is not of U8, I32 or I64");
}

std::vector<token> checked(const std::vector<std::int64_t>& numbers, std::size_t vocab_size,
                           const std::string& file) {
    std::vector<token> ids(numbers.size());
    for (std::size_t i = 0; i < ids.size(); ++i) {
        if (numbers[i] < 0 || static_cast<std::uint64_t>(numbers[i]) >= vocab_size)
            throw failure(file + ": id " + std::to_string(numbers[i]) +
                          " is not in the model's vocabulary of " + std::to_string(vocab_size));
        ids[i] = static_cast<token>(numbers[i]);
    }
    return ids;
}

windows read_tensors(const fs::path& file, std::size_t vocab_size, std::size_t context) {
    const auto reader =
        tools::value_of(pare::io::safetensors_reader::open(file.c_str()), file.string());
    auto found = reader.find("ids");
    if (!found) found = reader.find("samples");
    if (!found || found->rank < 1 || found->rank > 2)
        throw failure(file.string() + ": no tensor 'ids' or 'samples' of one or two extents");
    const std::vector<token> ids =
        checked(integers(*found, file.string()), vocab_size, file.string());

    std::vector<std::int64_t> offsets;
    if (const auto given = reader.find("offsets")) {
        offsets = integers(*given, file.string());
    } else if (found->rank == 2) {
        for (std::size_t r = 0; r <= found->extents[0]; ++r)
            offsets.push_back(static_cast<std::int64_t>(r * found->extents[1]));
    } else {
        return cut_stream(ids, context);
    }
    windows documents;
    for (std::size_t d = 0; d + 1 < offsets.size(); ++d) {
        const std::int64_t begin = offsets[d], end = offsets[d + 1];
        if (begin < 0 || end < begin || static_cast<std::uint64_t>(end) > ids.size())
            throw failure(file.string() + ": 'offsets' do not ascend within 'ids'");
        const std::int64_t cut = std::min(end, begin + static_cast<std::int64_t>(context));
        if (cut - begin >= 2) documents.emplace_back(ids.begin() + begin, ids.begin() + cut);
    }
    return documents;
}

std::string contents(const fs::path& file) {
    const auto mapped = tools::value_of(pare::io::mapped_file::open(file.c_str()), file.string());
    return {reinterpret_cast<const char*>(mapped.bytes().data()), mapped.bytes().size()};
}

windows read_numbers(const fs::path& file, std::size_t vocab_size, std::size_t context) {
    const std::string text = contents(file);
    const char *at = text.data(), *const end = at + text.size();
    std::vector<std::int64_t> numbers;
    const auto is_blank = [](char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; };
    while ((at = std::find_if_not(at, end, is_blank)) != end) {
        std::int64_t number = 0;
        const auto [stop, error] = std::from_chars(at, end, number);
        if (error != std::errc{} || (stop != end && !is_blank(*stop)))
            throw failure(file.string() +
                          ": not a safetensors file, nor whole numbers between "
                          "blanks; for text there is --text");
        numbers.push_back(number);
        at = stop;
    }
    return cut_stream(checked(numbers, vocab_size, file.string()), context);
}

windows require_some(windows w, const fs::path& file) {
    if (w.empty()) throw failure(file.string() + ": fewer than two tokens to measure on");
    return w;
}

}  // namespace

windows read_ids(const fs::path& file, std::size_t vocab_size, std::size_t context) {
    return require_some(file.extension() == ".safetensors"
                            ? read_tensors(file, vocab_size, context)
                            : read_numbers(file, vocab_size, context),
                        file);
}

std::optional<questions> read_questions(const fs::path& file, std::size_t vocab_size) {
    const auto reader =
        tools::value_of(pare::io::safetensors_reader::open(file.c_str()), file.string());
    const auto ids = reader.find("recall_ids"), answers = reader.find("recall_answers");
    if (!ids || !answers) return std::nullopt;
    if (ids->rank != 2 || answers->rank != 3 || answers->extents[0] != ids->extents[0] ||
        answers->extents[2] != 2)
        throw failure(file.string() +
                      ": 'recall_ids' is (documents, tokens), 'recall_answers' "
                      "(documents, questions, 2)");
    const std::size_t length = ids->extents[1], n_asked = answers->extents[1];
    const auto tokens = checked(integers(*ids, file.string()), vocab_size, file.string());
    const auto ends = integers(*answers, file.string());
    questions asked;
    for (std::size_t d = 0; d < ids->extents[0]; ++d) {
        const auto begin = tokens.begin() + static_cast<std::ptrdiff_t>(d * length);
        asked.documents.emplace_back(begin, begin + static_cast<std::ptrdiff_t>(length));
        asked.answers.emplace_back();
        for (std::size_t q = 0; q < n_asked; ++q) {
            const std::int64_t* const at = &ends[(d * n_asked + q) * 2];
            if (at[0] < 0) continue;
            if (at[0] == 0 || at[1] <= at[0] || static_cast<std::uint64_t>(at[1]) > length)
                throw failure(file.string() + ": an answer lies outside its document");
            asked.answers.back().emplace_back(at[0], at[1]);
        }
    }
    return asked;
}

windows read_text(const fs::path& file, const tokenizer& words, std::size_t context) {
    return require_some(cut_stream(words.encode(contents(file)), context), file);
}

windows cut_stream(const std::vector<token>& stream, std::size_t context) {
    windows cut;
    const auto length = static_cast<std::ptrdiff_t>(context + 1);
    auto at = stream.begin();
    for (; stream.end() - at >= length; at += length) cut.emplace_back(at, at + length);
    if (cut.empty() && stream.size() >= 2) cut.push_back(stream);
    return cut;
}

void limit_predictions(windows& w, std::size_t n) {
    for (std::size_t i = 0; i < w.size(); ++i) {
        if (w[i].size() - 1 >= n) {
            w[i].resize(n + 1);
            w.resize(n == 0 ? i : i + 1);
            return;
        }
        n -= w[i].size() - 1;
    }
}

std::size_t n_predictions(const windows& w) {
    std::size_t n = 0;
    for (const auto& ids : w) n += ids.size() - 1;
    return n;
}

}  // namespace llm
