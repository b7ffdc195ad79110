import AttentionCore
import Basics
import Tensors

/// Where a walk's loss is written between its way forward and its way back.
package final class LossRecord {
  /// `nil`: the loss is not known yet.
  package var signal: LossSignal?

  package init() {}
}

/// One walk through the layers: what every one of them needs.
package struct LayerRun {
  package let state: ModelState
  package let context: ExecutionContext
  package let planner: AttentionPlanner
  /// Whether dropout is on and BatchNorm uses the batch's own moments.
  package let training: Bool
  /// The root of this step's dropout choices.
  package var key: RandomKey
  /// Whether the way back is to be walked; if not, no block keeps that of the one below.
  package var isDifferentiated = true
  /// Whether the pass repeats one that was done: what a pass leaves behind (running moments) is left behind once.
  package var isRepeated = false

  /// Sequences.
  package var batch = 1
  /// Real tokens of every sequence; `nil`: all.
  package var lengths: [Int]?
  /// The position of the first row of every sequence.
  package var first = 0
  /// The places of an image that every sequence's rows are; `nil`: rows are no places.
  package var grid: Grid?
  /// Which rows send to which, for attention on a graph; `nil`: the variant draws its own.
  package var graph: EdgeList?
  /// The positions of all rows; `nil`: those of every sequence count from its first row.
  package var positions: [Int32]?
  /// Where documents are cut, for layers that read them in segments.
  package var cut: DocumentCut?
  /// What cross-attention reads.
  package var memory: Memory?
  /// The sequence that the rows continue; `nil`: the rows are whole sequences.
  package var decoding: SequenceStates?
  /// What the sequences have before them (Transformer-XL); `nil`: nothing, and nothing is kept of them.
  package var past: Past?
  /// Where layers that drew find what the loss turned out to be; `nil`: nowhere.
  package var losses: LossRecord?
  /// The whole sequences of which the rows are a part; `nil`: the rows are all that there are.
  package var spread: (any SpreadSequence)?
  /// Who hears what passes between the layers.
  package var observer: LayerObserver?

  /// A walk over one model's numbers.
  package init(
    state: ModelState, context: ExecutionContext, planner: AttentionPlanner, training: Bool, key: RandomKey
  ) {
    (self.state, self.context, self.planner) = (state, context, planner)
    (self.training, self.key) = (training, key)
  }

  /// A parameter as a tensor; shares the flat array.
  package func weight(_ slot: ParameterSlot) -> Tensor {
    state.weights.narrowed(axis: 0, to: slot.range).reshaped(slot.shape)
  }

  /// The same walk over other sequences.
  package func over(batch: Int, lengths: [Int]?) -> LayerRun {
    var run = self
    (run.batch, run.lengths) = (batch, lengths)
    return run
  }

  /// The same walk without its way back.
  package var withoutWayBack: LayerRun {
    var run = self
    run.isDifferentiated = false
    return run
  }

  /// The rows that are no padding, as runs of rows of `[rows, width]`; `nil`: all.
  package func validRows(of x: Tensor) -> [Range<Int>]? {
    guard let lengths, batch > 0 else { return nil }
    let length = x.shape[0] / batch
    return lengths.enumerated().map { $0 * length..<$0 * length + min($1, length) }
  }

  /// Whether elements are dropped at all.
  package func drops(_ probability: Double) -> Bool { training && probability > 0 }

  /// Drops elements in training. The stream has a name, so the way back and a repeated pass make the same choices.
  package func dropped(_ x: Tensor, _ probability: Double, _ name: String) throws -> Tensor {
    drops(probability) ? try context.dropout(x, probability: probability, key: key(name)) : x
  }

  /// Layers on top of each other, each on the grid that the one below it gives.
  package func chain(_ layers: [any Layer], _ x: Tensor) throws -> (output: Tensor, pullback: Pullback) {
    let pullbacks = PullbackChain()
    var (x, run) = (x, self)
    for layer in layers {
      let (y, pullback) = try layer.forward(x, run)
      (x, run) = (y, try run.behind(layer))
      if isDifferentiated { pullbacks.append(pullback) }
    }
    let context = context
    return (x, Pullback { dy, residual in try context.sum(residual, pullbacks.walk(dy)) })
  }
}
