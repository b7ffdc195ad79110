import AttentionCore
import Tensors

/// A softmax over blocks of keys that each row chooses: tiles and definition follow from the choice.
protocol BlockSelection: SoftmaxVariant {
  /// The blocks that are chosen from.
  var blocks: KeyBlocks { get }
  /// Whether a row takes the block at its own position, whatever its score.
  var takesOwnBlock: Bool { get }
  /// The blocks of every row.
  func chosen(_ inputs: Operands, in context: ExecutionContext) throws -> RowChoice
}

extension BlockSelection {
  /// The tiles of the blocks that rows choose.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  public func pattern(for inputs: Operands, in context: ExecutionContext) throws -> TilePattern {
    inputs.check(shape)
    return try BlockTiles(blocks: blocks, choice: chosen(inputs, in: context), hasOwn: takesOwnBlock).pattern(
      heads: shape.queryHeads, in: context)
  }

  /// The softmax over the blocks chosen for these inputs: the choice is part of the definition, since two computations of a near tie
  /// must not disagree; a test of its own compares it with sorted scores in Double.
  public func definition(of inputs: Operands) throws -> any Definition {
    let choice = try chosen(inputs, in: ExecutionContext(threads: 1))
    return SoftmaxDefinition(shape: shape) { [shape, size = blocks.size] batch, head, query, key in
      guard !shape.isFuture(query: query, key: key) else { return 0 }
      return choice.contains(key / size, batch, head, query) ? 1 : 0
    }
  }
}
