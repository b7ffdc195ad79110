import Basics
import Foundation
import Tasks
import Tensors

extension Extract {
  /// The key sentences.
  public func answer(_ question: TextQuestion, _ emit: ([UInt8]) throws -> Void) throws -> TextAnswer {
    let asked =
      configuration.method == .bm25 ? try question.asked(for: "method bm25") : question.question ?? []
    var rows: [JSONValue] = []
    let count = try condense(question.text, question: asked) { kept in
      try emit(kept.sentence.bytes)
      // A share of a long text is long; a number of tokens is not.
      guard configuration.share == 0 else { return }
      rows.append(
        .object([
          "file": .string(question.text.files[kept.sentence.file]), "offset": .int(kept.sentence.offset),
          "score": .double(kept.score), "text": .string(String(decoding: kept.sentence.bytes, as: UTF8.self)),
        ]))
    }
    var answer = TextAnswer(count: count, unit: "sentence")
    if count.keptUnits == 0 { answer.lines = ["no sentence was kept: none has a word of the question"] }
    if configuration.share == 0 { answer.found = [.init(key: "sentences", value: .array(rows))] }
    return answer
  }
}

extension Retrieve {
  /// The passages, and the question behind them.
  public func answer(_ question: TextQuestion, _ emit: ([UInt8]) throws -> Void) throws -> TextAnswer {
    guard configuration.path.isEmpty else {
      throw UsageError("path: the command names the text; leave it out of the way")
    }
    let asked = try question.asked(for: "retrieve")
    let found: [Found], count: StageCount
    switch configuration.method {
    case .bm25: (found, count) = try search(question.text, for: asked)
    case .embeddings:
      let model = try question.asked(modelFor: "method embeddings")
      (found, count) = try search(question.text, for: asked, in: model.context) {
        try model.embeddings(of: $0)
      }
    }
    var answer = TextAnswer(count: count, unit: "passage")
    let rows = found.map { found in
      JSONValue.object([
        "file": .string(question.text.files[found.passage.file]), "offset": .int(found.passage.offset),
        "score": .double(found.score), "text": .string(String(decoding: found.passage.bytes, as: UTF8.self)),
      ])
    }
    answer.found = [.init(key: "passages", value: .array(rows))]
    answer.lines = found.map {
      "\(question.text.files[$0.passage.file]), byte \($0.passage.offset): score \(Quantity.significant($0.score, 4))"
    }
    if found.isEmpty { answer.lines = ["no passage was found: none has a word of the question"] }
    for found in found { try emit(found.passage.bytes) }
    try emit(asked)
    return answer
  }
}

extension Windows {
  /// The loss of a model on every byte, or the class of every file.
  public func answer(_ question: TextQuestion, _ emit: ([UInt8]) throws -> Void) throws -> TextAnswer {
    let model = try question.asked(modelFor: "windows")
    if let longest = model.longest, configuration.length > longest {
      throw UsageError(
        "length: \(configuration.length); this model reads at most \(longest) tokens at a time")
    }
    return model.kind == .classification ? try classes(question, model) : try loss(question, model)
  }

  private func loss(_ question: TextQuestion, _ model: any TextModel) throws -> TextAnswer {
    var loss = CrossEntropy()
    let count = try forEachBatch(of: question.text, asking: .languageModel, size: question.batch) {
      rows, _, _ in
      if !rows.isEmpty { loss = loss + (try model.loss(of: rows)) }
    }
    guard loss.rows > 0 else {
      throw UsageError("\(question.text.path): one byte; a text of two or more is needed")
    }
    var answer = TextAnswer(count: count, unit: "window")
    let bits = loss.mean / log(2), perplexity = exp(loss.mean)
    answer.found = [
      .init(key: "loss", value: .double(loss.mean)), .init(key: "bits_per_byte", value: .double(bits)),
      .init(key: "perplexity", value: .double(perplexity)),
      .init(key: "accuracy", value: .double(loss.accuracy)),
      .init(key: "scored", value: .int(loss.rows)),
    ]
    let numbers = [loss.mean, bits, perplexity].map { Quantity.significant($0, 4) }
    answer.lines = [
      "loss \(numbers[0]) nats a byte, \(numbers[1]) bits, perplexity \(numbers[2]), over \(counted(loss.rows, "byte"))"
    ]
    return answer
  }

  private func classes(_ question: TextQuestion, _ model: any TextModel) throws -> TextAnswer {
    var parts = PartAnswers(), rows: [JSONValue] = [], lines: [String] = []
    let count = try forEachBatch(of: question.text, asking: .classification, size: question.batch) {
      batch, file, isEnd in
      if !batch.isEmpty { for part in try model.probabilities(of: batch) { parts.add(part) } }
      guard isEnd, parts.count > 0 else { return }
      let label = parts.label(by: configuration.join), mean = parts.mean
      rows.append(
        .object([
          "file": .string(question.text.files[file]), "class": .int(label), "windows": .int(parts.count),
          "probabilities": .array(mean.map { .double($0) }),
        ]))
      lines.append(
        "\(question.text.files[file]): class \(label), mean probability \(Quantity.significant(mean[label], 3))"
      )
      parts = PartAnswers()
    }
    var answer = TextAnswer(count: count, unit: "window")
    (answer.found, answer.lines) = ([.init(key: "files", value: .array(rows))], lines)
    return answer
  }
}
