import Basics
import LongText
import Models
import Pretrained
import Tasks
import Tensors

/// A trained model of bytes, as ways around attention ask it.
package struct PretrainedText: TextModel {
  private let pretrained: PretrainedModel

  /// Takes a model that reads bytes.
  /// - Throws: `UsageError` for one that reads other tokens, or two sequences.
  package init(_ pretrained: PretrainedModel, checkpoint: String) throws(UsageError) {
    let model = pretrained.model.configuration
    guard (model.classes > 0 ? model.vocabulary : model.effectiveOutputVocabulary) == 256,
      !model.kind.hasSource, model.features == 0
    else {
      throw UsageError(
        "\(checkpoint): it reads no bytes; a text takes a model with a vocabulary of 256 and one sequence, "
          + "such as that of attnlab train text"
      )
    }
    guard model.classes > 0 || model.kind == .decoder else {
      throw UsageError(
        "\(checkpoint): an encoder without classes predicts no next byte; a decoder or classifier does")
    }
    self.pretrained = pretrained
  }

  package var kind: TaskKind { pretrained.model.configuration.classes > 0 ? .classification : .languageModel }

  package var longest: Int? {
    let model = pretrained.model.configuration
    return model.position == .learned ? model.maximumLength : nil
  }

  package var context: ExecutionContext { pretrained.model.context }

  package func loss(of rows: [Example]) throws -> CrossEntropy { try pretrained.loss(input(rows)) }

  package func probabilities(of rows: [Example]) throws -> [[Double]] {
    let logits = try pretrained.logits(input(rows)), values = logits.array()
    return (0..<rows.count).map { row in
      PartJoin.probabilities(values[row * logits.shape[1]..<(row + 1) * logits.shape[1]])
    }
  }

  package func embeddings(of texts: [[UInt8]]) throws -> Tensor {
    let rows = texts.map { Example(inputs: $0.prefix(longest ?? .max).map { Int32($0) }, label: 0) }
    let input = input(rows)
    let states = try pretrained.model.hiddenStates(input), values = states.array()
    let (length, width) = (states.shape[1], states.shape[2])
    var means = [Float](repeating: 0, count: rows.count * width)
    for (row, example) in rows.enumerated() {
      let count = min(example.inputs.count, length)
      var sums = [Double](repeating: 0, count: width)
      for place in 0..<count {
        let start = (row * length + place) * width
        for column in 0..<width { sums[column] += Double(values[start + column]) }
      }
      for column in 0..<width { means[row * width + column] = Float(sums[column] / Double(max(1, count))) }
    }
    return try Tensor(means, shape: [rows.count, width])
  }

  /// Rows under each other, padded.
  private func input(_ rows: [Example]) -> ModelInput {
    let length = max(1, rows.map(\.inputs.count).max() ?? 1), lengths = rows.map(\.inputs.count)
    func padded(_ values: [Int32], with filler: Int32) -> [Int32] {
      values + [Int32](repeating: filler, count: length - values.count)
    }
    let isClass = kind == .classification
    return ModelInput(
      batch: rows.count, tokens: rows.flatMap { padded($0.inputs, with: 0) },
      targets: isClass ? rows.map(\.label) : rows.flatMap { padded($0.targets, with: TaskBatch.ignored) },
      lengths: lengths.allSatisfy { $0 == length } ? nil : lengths)
  }
}
