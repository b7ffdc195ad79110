import Basics
import Layers
import Settings
import Tensors

/// Texts that are read in segments, each of which sees what its layers keep of the earlier ones (Transformer-XL).
extension TransformerModel {
  /// An empty memory for texts that are read beside each other.
  /// - Parameters:
  ///   - streams: how many.
  ///   - positions: how many every layer keeps, which may be more than in training; `nil`: as many as the model says.
  /// - Throws: `ConfigurationError` when the model's positions or attention depend on where a segment begins.
  public func segmentMemory(streams: Int, positions: Int? = nil) throws(ConfigurationError) -> SegmentMemory {
    let positions = positions ?? configuration.memory
    guard configuration.kind == .decoder else {
      throw ConfigurationError(
        field: "kind", value: configuration.kind.rawValue, allowed: "decoder to read texts in segments")
    }
    try configuration.checkMemory(of: positions, in: catalog)
    return SegmentMemory(
      streams: streams, capacity: positions, startsWithZeros: configuration.emptyMemory == .zeros,
      pairCapacity: configuration.stored, keepsPairs: configuration.storedTexts == .keep)
  }

  /// The attention layers of the main stack that look up what is stored of earlier segments.
  package var lookups: [AttentionLayer] {
    (decoder?.sublayers ?? []).compactMap { sublayer in
      if case .attention(let layer) = sublayer.function, layer.stored != nil { layer } else { nil }
    }
  }

  /// The names of the main stack's attention layers, which a memory's rows go by.
  package var attentionLayers: [String] {
    (decoder?.sublayers ?? []).compactMap { sublayer in
      if case .attention(let layer) = sublayer.function, !layer.isCross { layer.name } else { nil }
    }
  }

  /// Logits in evaluation, `[batch, length, vocabulary]`, of segments that continue what a memory holds; it moves on.
  /// - Throws: `ConfigurationError` for an input that does not fit; what attention throws.
  public func logits(_ input: ModelInput, after memory: SegmentMemory) throws -> Tensor {
    try input.validate(for: configuration)
    let rowCount = input.length * mainHead.outputs
    var result = try context.empty([input.batch, input.length, mainHead.outputs])
    try forEachGroup(of: input, after: memory, evaluationRun) { group, part, run in
      let (h, run, _) = try hidden(part, run)
      let logits = try tokenLogits(h, run).reshaped([group.count, rowCount])
      for (place, row) in group.enumerated() {
        result.replace(from: row * rowCount, with: logits.narrowed(axis: 0, to: place..<place + 1))
      }
    }
    return result
  }

  /// The same of whole rows that are read in segments.
  /// - Parameters:
  ///   - input: the rows.
  ///   - length: tokens of a segment.
  ///   - memory: positions that every layer keeps; `nil`: as many as the model says.
  /// - Throws: `ConfigurationError` for an input or a memory that does not fit; what attention throws.
  public func logits(_ input: ModelInput, inSegmentsOf length: Int, memory: Int? = nil) throws -> Tensor {
    let kept = try segmentMemory(streams: input.batch, positions: memory)
    let width = mainHead.outputs
    var result = try context.empty([input.batch, input.length, width])
    for (number, segment) in input.segments(of: length).enumerated() {
      let logits = try logits(segment, after: kept)
      for row in 0..<input.batch {
        result.replace(
          from: (row * input.length + number * length) * width,
          with: logits.narrowed(axis: 0, to: row..<row + 1))
      }
    }
    return result
  }

  /// The loss of whole rows that are read in segments; adds the gradients of its mean over all of them. None goes into a memory.
  /// - Parameters:
  ///   - input: the rows.
  ///   - length: tokens of a segment.
  ///   - memory: positions that every layer keeps; `nil`: as many as the model says.
  /// - Throws: `ConfigurationError` for an input or a memory that does not fit; what attention throws.
  public func accumulateGradients(_ input: ModelInput, inSegmentsOf length: Int, memory: Int? = nil) throws
    -> CrossEntropy
  {
    let kept = try segmentMemory(streams: input.batch, positions: memory)
    let counted = Double(input.targets.count { $0 >= 0 })
    return try input.segments(of: length).reduce(CrossEntropy()) { total, segment in
      let share = Double(segment.targets.count { $0 >= 0 }) / counted
      return total
        + (try accumulateGradients(
          segment, factor: share, key: RandomKey(seed: 0), training: false, after: kept))
    }
  }

  /// Walks over the sequences of an input by what they have before them: those that have as much go together. The memory takes
  /// what each leaves behind.
  /// - Parameter body: called with the sequences' numbers, their part of the input, and the walk.
  func forEachGroup(
    of input: ModelInput, after memory: SegmentMemory, _ run: LayerRun,
    _ body: ([Int], ModelInput, LayerRun) throws -> Void
  ) throws {
    precondition(
      memory.streamCount == input.batch && input.lengths == nil,
      "\(input.batch) whole rows continue \(memory.streamCount) streams")
    let groups = memory.groups
    for (number, group) in groups.enumerated() {
      let past = memory.past(of: group)
      var part = run
      part.past = past
      if groups.count > 1 { part.key = run.key("group")(number) }
      try body(group, try groups.count == 1 ? input : input.rows(group), part)
      try memory.keep(past, of: group, context)
    }
  }
}

extension ModelInput {
  /// Rows cut into segments of so many tokens, the last of which may be shorter.
  /// - Precondition: all rows are whole, and there is no source.
  public func segments(of length: Int) -> [ModelInput] {
    precondition(lengths == nil && source.isEmpty, "whole rows of one stack are cut into segments")
    return stride(from: 0, to: self.length, by: length).map { start in
      let places = (0..<batch).flatMap { row in
        (start..<min(start + length, self.length)).map { row * self.length + $0 }
      }
      return ModelInput(
        batch: batch, tokens: places.map { tokens[$0] },
        targets: targets.isEmpty ? [] : places.map { targets[$0] })
    }
  }
}
