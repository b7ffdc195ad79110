import Attention
import AttentionCore
import Basics
import Foundation
import Measuring
import Tensors

/// The figures beside a pattern's picture: density, tiles, waste.
package struct PatternFigures {
  private let attention: any AttentionVariant
  private let counts: PatternCounts
  private let inputs: Operands?

  package init(_ attention: any AttentionVariant, _ counts: PatternCounts, inputs: Operands?) {
    self.attention = attention
    self.counts = counts
    self.inputs = inputs
  }

  /// The tile lists in use, when there are any.
  private var pattern: TilePattern? {
    get throws {
      if let variant = attention as? any PatternVariant { return variant.pattern }
      if let variant = attention as? any SoftmaxVariant, let inputs {
        return try variant.pattern(for: inputs, in: ExecutionContext())
      }
      return nil
    }
  }

  private struct Tiles {
    let count: Int, segments: Int, bytes: Int
    let executed: Double
  }

  private var tiles: Tiles? {
    get throws {
      guard let pattern = try pattern else { return nil }
      var (count, segments, executed) = (0, 0, 0.0)
      for batch in 0..<counts.batch {
        for head in 0..<counts.heads {
          let list = pattern.list(batch: batch, head: head)
          count += list.tiles.count
          segments += list.segments.count
          executed += list.executedPairs
        }
      }
      return Tiles(count: count, segments: segments, bytes: pattern.byteCount, executed: executed)
    }
  }

  /// Three lines for people.
  package var text: String {
    get throws {
      let shape = attention.shape
      let settings = attention.configurationSummary.replacing(";", with: " ")
      var lines = [
        "\(attention.card.id)\(settings.isEmpty ? "" : " " + settings)\(shape.isCausal ? " causal" : "")",
        "\(shape.queryLength) queries × \(shape.keyLength) keys, \(counted(counts.heads, "head"))"
          + "\(counts.isShared && counts.heads > 1 ? ", all alike" : ""): density \(Self.percent(counts.density))",
      ]
      if let tiles = try tiles {
        let overhead = counts.pairs > 0 ? tiles.executed / counts.pairs : 1
        lines.append(
          "\(counted(tiles.count, "tile")), \(counted(tiles.segments, "run")) of keys, \(tiles.bytes) bytes; "
            + "\(String(format: "%.2f", overhead)) pairs executed for one that counts")
      }
      return lines.joined(separator: "\n")
    }
  }

  private static func percent(_ share: Double) -> String { String(format: "%.3g %%", 100 * share) }

  /// The same as one object.
  package var json: JSONValue {
    get throws {
      let shape = attention.shape
      let tiles = try self.tiles
      return .object([
        "variant": .string(attention.card.id), "configuration": .string(attention.configurationSummary),
        "query_length": .int(shape.queryLength), "key_length": .int(shape.keyLength),
        "heads": .int(counts.heads),
        "causal": .bool(shape.isCausal), "pairs": .double(counts.pairs), "density": .double(counts.density),
        "tiles": .number(tiles?.count), "segments": .number(tiles?.segments),
        "executed_pairs": .number(tiles?.executed), "plan_bytes": .number(tiles?.bytes),
      ])
    }
  }
}
