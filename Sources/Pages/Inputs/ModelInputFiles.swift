import ArrayFiles
import Basics
import Models
import Tensors

/// What a model reads and is to say, in files that a user names.
public struct ModelInputFiles {
  /// Integers `[batch, length]`.
  public var tokens: String?
  /// Numbers `[batch, height, width]`, with channels behind, or with frames before the height.
  public var images: String?
  /// Integers `[batch, length]`, or `[batch]` for a classifier.
  public var targets: String?
  /// Integers `[batch, length]` for an encoder of its own.
  public var source: String?
  /// Integers `[batch]`: real tokens of each row.
  public var lengths: String?
  /// Integers `[batch]`: real tokens of each source row.
  public var sourceLengths: String?

  /// No files.
  public init() {}

  /// The name of the file that says how many rows there are.
  public var main: String { tokens ?? images ?? "" }

  /// Reads them.
  /// - Throws: `UsageError` for a shape or a number that does not fit, `NpyError` for a file that cannot be read.
  public func input() throws -> ModelInput {
    guard (tokens == nil) != (images == nil) else {
      throw UsageError("--tokens and --images: give one of them")
    }
    var (input, shape) = try tokens.map(read(tokens:)) ?? read(images: images ?? "")
    if let targets {
      let (values, targetShape) = try TokenFile.integers(targets, rank: 1...2)
      guard targetShape == shape || targetShape == [shape[0]] else {
        throw UsageError(
          "\(targets): shape \(targetShape); \(shape) is needed, as of the tokens, or [\(shape[0])] for a classifier"
        )
      }
      input.targets = try TokenFile.ids(values, targets)
      guard input.targets.contains(where: { $0 >= 0 }) else {
        throw UsageError("\(targets): no target counts, all are below 0; at least one is needed")
      }
    }
    if let source {
      let (values, sourceShape) = try TokenFile.integers(source, rank: 2...2)
      guard sourceShape[0] == shape[0] else {
        throw UsageError("\(source): \(sourceShape[0]) rows; the tokens have \(shape[0])")
      }
      input.source = try TokenFile.ids(values, source)
    }
    let sourceLength = input.source.count / max(1, input.batch)
    input.lengths = try lengths.map { try TokenFile.lengths($0, rows: shape[0], in: 0...input.length) }
    input.sourceLengths = try sourceLengths.map {
      try TokenFile.lengths($0, rows: shape[0], in: 0...sourceLength)
    }
    if let targets, !input.scoresAnything {
      throw UsageError(
        "\(targets): no target counts, all stand behind the end of their rows; at least one is needed")
    }
    return input
  }

  private func read(tokens path: String) throws -> (input: ModelInput, shape: [Int]) {
    let (values, shape) = try TokenFile.integers(path, rank: 2...2)
    return (ModelInput(batch: shape[0], tokens: try TokenFile.ids(values, path)), shape)
  }

  private func read(images path: String) throws -> (input: ModelInput, shape: [Int]) {
    let array = try NpyArray(contentsOf: path)
    guard (3...5).contains(array.shape.count), !array.shape.contains(0) else {
      throw UsageError(
        "\(path): shape \(array.shape); images take [batch, height, width], with channels behind or frames before the height, none 0"
      )
    }
    // Without an axis of channels there is one.
    let pixels = try array.tensor().reshaped(array.shape.count == 3 ? array.shape + [1] : array.shape)
    guard pixels.isFinite else { throw UsageError("\(path): a pixel that is no finite number") }
    let input = ModelInput(images: pixels)
    return (input, [input.batch, input.length])
  }
}
