import Basics
import Tensors

/// A part of a model: `y = f(x)` for rows x `[rows, width]`, with its way back.
///
/// Training, evaluation, decoding and tracing call the same `forward`; what tells them apart stands in the run.
protocol Layer: Sendable {
  /// y and the way back.
  /// - Throws: what attention throws; `MemoryLimitExceeded`.
  func forward(_ x: Tensor, _ run: LayerRun) throws -> (output: Tensor, pullback: Pullback)
}

/// A layer that stands in a branch beside a residual connection, whose sum its last product makes.
protocol BranchLayer: Layer {
  /// `f(x) + residual`, and the way back of f.
  /// - Throws: what attention throws; `MemoryLimitExceeded`.
  func forward(_ x: Tensor, adding residual: Tensor?, _ run: LayerRun) throws -> (
    output: Tensor, pullback: Pullback
  )
}

extension BranchLayer {
  func forward(_ x: Tensor, _ run: LayerRun) throws -> (output: Tensor, pullback: Pullback) {
    try forward(x, adding: nil, run)
  }
}

/// The way back of one forward pass: from ∂L/∂y to ∂L/∂x; adds the gradients of the layer's parameters to the model's.
///
/// It keeps what it captured until it is dropped, so an evaluation that asks for the output alone holds nothing. It is walked
/// at most once.
struct Pullback {
  private let body: (Tensor, Tensor?) throws -> Tensor

  /// - Parameter body: from ∂L/∂y and what is to be added to ∂L/∂x (the gradient that a residual connection carries past the
  ///   layer) to their sum.
  init(_ body: @escaping (_ dy: Tensor, _ residual: Tensor?) throws -> Tensor) { self.body = body }

  /// `∂L/∂x + residual`.
  func callAsFunction(_ dy: Tensor, adding residual: Tensor? = nil) throws -> Tensor {
    try body(dy, residual)
  }

  /// The way back of a pass that has none.
  static var none: Pullback { Pullback { _, _ in preconditionFailure("this pass has no way back") } }
}

/// The ways back of layers that stand on top of each other. Each is dropped as soon as it was walked, so the memory of the
/// activations falls as backward goes down.
final class PullbackChain {
  private var parts: [Pullback] = []

  func append(_ pullback: Pullback) { parts.append(pullback) }

  func walk(_ dy: Tensor) throws -> Tensor {
    precondition(!parts.isEmpty, "the way back was walked before, or its pass was not to have one")
    var d = dy
    while let pullback = parts.popLast() { d = try pullback(d) }
    return d
  }
}

/// One walk through the layers: what every one of them needs.
struct LayerRun {
  let state: ModelState
  let context: ExecutionContext
  let planner: AttentionPlanner
  /// Whether dropout is on and BatchNorm uses the batch's own moments.
  let training: Bool
  /// The root of this step's dropout choices.
  let key: RandomKey
  /// Whether the way back is to be walked; if not, no block keeps that of the one below.
  var isDifferentiated = true
  /// Whether the pass repeats one that was done: what a pass leaves behind (running moments) is left behind once.
  var isRepeated = false

  /// Sequences.
  var batch = 1
  /// Real tokens of every sequence; `nil`: all.
  var lengths: [Int]?
  /// The position of the first row of every sequence.
  var first = 0
  /// What cross-attention reads.
  var memory: Memory?
  /// The sequence that the rows continue; `nil`: the rows are whole sequences.
  var decoding: Decoding?
  /// Who hears what passes between the layers.
  var observer: LayerObserver?

  /// A parameter as a tensor; shares the flat array.
  func weight(_ slot: ParameterSlot) -> Tensor {
    state.weights.narrowed(axis: 0, to: slot.range).reshaped(slot.shape)
  }

  /// The same walk over other sequences.
  func over(batch: Int, lengths: [Int]?) -> LayerRun {
    var run = self
    (run.batch, run.lengths) = (batch, lengths)
    return run
  }

  /// The same walk without its way back.
  var withoutWayBack: LayerRun {
    var run = self
    run.isDifferentiated = false
    return run
  }

  /// The rows that are no padding, as runs of rows of `[rows, width]`; `nil`: all.
  func validRows(of x: Tensor) -> [Range<Int>]? {
    guard let lengths, batch > 0 else { return nil }
    let length = x.shape[0] / batch
    return lengths.enumerated().map { $0 * length..<$0 * length + min($1, length) }
  }

  /// Whether elements are dropped at all.
  func drops(_ probability: Double) -> Bool { training && probability > 0 }

  /// Drops elements in training. The stream has a name, so the way back and a repeated pass make the same choices.
  func dropped(_ x: Tensor, _ probability: Double, _ name: String) throws -> Tensor {
    drops(probability) ? try context.dropout(x, probability: probability, key: key(name)) : x
  }

  /// Layers on top of each other.
  func chain(_ layers: [any Layer], _ x: Tensor) throws -> (output: Tensor, pullback: Pullback) {
    let pullbacks = PullbackChain()
    var x = x
    for layer in layers {
      let (y, pullback) = try layer.forward(x, self)
      x = y
      if isDifferentiated { pullbacks.append(pullback) }
    }
    let context = context
    return (x, Pullback { dy, residual in try context.sum(residual, pullbacks.walk(dy)) })
  }
}

/// What cross-attention reads, `[batch·length, width]`, with the gradient that comes back to it from all layers.
final class Memory {
  let rows: Tensor
  /// Real rows of every sequence; `nil`: all.
  let lengths: [Int]?
  private(set) var gradient: Tensor?

  init(_ rows: Tensor, lengths: [Int]?) { (self.rows, self.lengths) = (rows, lengths) }

  /// Adds the gradient that one layer gives.
  func add(_ d: Tensor, _ context: ExecutionContext) throws {
    gradient = try gradient.map { try context.add($0, d) } ?? d
  }
}

/// Hears what passes between the layers of a walk.
protocol LayerObserver {
  /// What the layer of a sublayer read (after the norm, where the norm comes first) and gave (before the residual sum).
  func branch(_ sublayer: Sublayer, read: Tensor, gave: Tensor)
  /// The residual stream under the first block, then that after every block; the mean of both where there are two.
  func stream(_ x: Tensor)
}

extension ExecutionContext {
  /// `residual + y`, or y where there is no residual.
  func sum(_ residual: Tensor?, _ y: Tensor) throws -> Tensor { try residual.map { try add($0, y) } ?? y }
}
