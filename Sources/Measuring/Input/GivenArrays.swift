import ArrayFiles
import AttentionCore
import Basics
import Foundation
import Models
import Pretrained
import Settings
import Tasks
import Tensors

/// q, k and v that a user or a trained model gives, of which a shape takes the first sequences, heads and rows.
struct GivenArrays {
  /// `[batch, heads, n, d]`, and how messages name it.
  typealias Array = (name: String, tensor: Tensor)

  let query: Array
  let key: Array
  let value: Array

  /// Reads files.
  /// - Throws: `NpyError`; `ConfigurationError` for one that does not hold four axes of real numbers.
  init(query: String, key: String, value: String) throws {
    func read(_ path: String) throws -> Array {
      let array = try NpyArray(contentsOf: path)
      guard array.type.isReal, array.shape.count == 4, !array.shape.contains(0),
        array.floats.allSatisfy(\.isFinite)
      else {
        throw ConfigurationError(
          field: "input", value: "\(path): \(array.type.title) \(array.shape)",
          allowed: "finite real numbers [batch, heads, n, d], none of them 0")
      }
      return (path, try Tensor(array.floats, shape: array.shape))
    }
    (self.query, self.key, self.value) = (try read(query), try read(key), try read(value))
  }

  /// Lets a trained model read tokens, and takes what one of its layers makes of them: q, k and v as its attention reads
  /// them, positions included.
  /// - Parameters:
  ///   - source: the model, the layer and what is read.
  ///   - shape: how many sequences of how many tokens.
  ///   - catalog: the variants that the model may have.
  ///   - anchors: where the project's sources are looked for.
  /// - Throws: `SafetensorsError`, `UsageError`; `ConfigurationError` for a layer that there is not, or too few tokens.
  init(_ source: CheckpointSource, for shape: AttentionShape, catalog: Catalog, anchors: [String]) throws {
    let model = try PretrainedModel(contentsOf: source.model, catalog: catalog)
    let length = max(shape.queryLength, shape.keyLength)
    let tokens = try Self.tokens(source, batch: shape.batch, length: length, model, anchors)
    let heard = try model.attention(ModelInput(batch: shape.batch, tokens: tokens))
    guard heard.indices.contains(source.layer) else {
      throw ConfigurationError(
        field: "layer", value: "\(source.layer)",
        allowed: "a number from 0 to \(heard.count - 1): \(source.model) has \(counted(heard.count, "layer"))"
      )
    }
    let inputs = heard[source.layer].inputs
    func named(_ name: String, _ tensor: Tensor) -> Array {
      ("\(name) of layer \(source.layer) of \(source.model)", tensor)
    }
    (query, key, value) = (named("q", inputs.query), named("k", inputs.key), named("v", inputs.value))
  }

  private static func tokens(
    _ source: CheckpointSource, batch: Int, length: Int, _ model: PretrainedModel, _ anchors: [String]
  ) throws -> [Int32] {
    let needed = batch * length
    let tokens: [Int32]
    switch source.reading {
    case .text:
      guard model.model.configuration.vocabulary == 256 else {
        throw ConfigurationError(
          field: "text", value: source.path ?? "default",
          allowed:
            "tokens: IDS.npy instead: text is read as bytes, and this model has \(model.model.configuration.vocabulary) tokens"
        )
      }
      tokens = try InputMaker.text(source.path, anchors: anchors, limit: needed).bytes.map { Int32($0) }
    case .tokens: tokens = try TokenFile.rows(source.path ?? "").flatMap(\.self)
    }
    guard tokens.count >= needed else {
      throw ConfigurationError(
        field: "input", value: "\(source.path ?? "text") of \(counted(tokens.count, "token"))",
        allowed: "at least \(needed), \(length) for each of \(counted(batch, "sequence"))")
    }
    return Swift.Array(tokens.prefix(needed))
  }

  /// The part that a shape takes: the first sequences, heads and rows; of a causal shape with fewer queries than keys the
  /// last queries of these.
  /// - Throws: `ConfigurationError` for a shape that is larger, or has another width.
  func inputs(of shape: AttentionShape) throws -> Operands {
    let length = max(shape.queryLength, shape.keyLength)
    func part(_ array: Array, heads: Int, rows: Int, width: Int, asks: Bool) throws -> Tensor {
      let start = asks && shape.isCausal ? length - rows : 0, own = array.tensor.shape
      guard own[0] >= shape.batch, own[1] >= heads, own[2] >= start + rows, own[3] == width else {
        throw ConfigurationError(
          field: "input", value: "\(array.name) with the shape \(own)",
          allowed: "at least [\(shape.batch), \(heads), \(start + rows)] of width \(width) for this cell "
            + "(it has heads: \(own[1]), width: \(own[3]))")
      }
      return array.tensor.narrowed(axis: 0, to: 0..<shape.batch).narrowed(axis: 1, to: 0..<heads)
        .narrowed(axis: 2, to: start..<start + rows).contiguous()
    }
    return Operands(
      query: try part(
        query, heads: shape.queryHeads, rows: shape.queryLength, width: shape.headDim, asks: true),
      key: try part(key, heads: shape.keyHeads, rows: shape.keyLength, width: shape.headDim, asks: false),
      value: try part(
        value, heads: shape.keyHeads, rows: shape.keyLength, width: shape.valueDim, asks: false))
  }
}
