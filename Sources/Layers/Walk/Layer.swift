import AttentionCore
import Basics
import AttentionCore
import Tensors

/// A part of a model: `y = f(x)` for rows x `[rows, width]`, with its way back.
///
/// Training, evaluation, decoding and tracing call the same `forward`; what tells them apart stands in the run.
package protocol Layer: Sendable {
  /// y and the way back.
  /// - Throws: what attention throws; `MemoryLimitExceeded`.
  func forward(_ x: Tensor, _ run: LayerRun) throws -> (output: Tensor, pullback: Pullback)
}

/// A layer that stands in a branch beside a residual connection, whose sum its last product makes.
package protocol BranchLayer: Layer {
  /// `f(x) + residual`, and the way back of f.
  /// - Throws: what attention throws; `MemoryLimitExceeded`.
  func forward(_ x: Tensor, adding residual: Tensor?, _ run: LayerRun) throws -> (
    output: Tensor, pullback: Pullback
  )
}

extension BranchLayer {
  package func forward(_ x: Tensor, _ run: LayerRun) throws -> (output: Tensor, pullback: Pullback) {
    try forward(x, adding: nil, run)
  }
}

/// The way back of one forward pass: from ∂L/∂y to ∂L/∂x; adds the gradients of the layer's parameters to the model's.
///
/// It keeps what it captured until it is dropped, so an evaluation that asks for the output alone holds nothing. It is walked
/// at most once.
package struct Pullback {
  private let body: (Tensor, Tensor?) throws -> Tensor

  /// - Parameter body: from ∂L/∂y and what is to be added to ∂L/∂x (the gradient that a residual connection carries past the
  ///   layer) to their sum.
  package init(_ body: @escaping (_ dy: Tensor, _ residual: Tensor?) throws -> Tensor) { self.body = body }

  /// `∂L/∂x + residual`.
  package func callAsFunction(_ dy: Tensor, adding residual: Tensor? = nil) throws -> Tensor {
    try body(dy, residual)
  }

  /// The way back of a pass that has none.
  package static var none: Pullback { Pullback { _, _ in preconditionFailure("this pass has no way back") } }
}

/// The ways back of layers that stand on top of each other. Each is dropped as soon as it was walked, so the memory of the
/// activations falls as backward goes down.
package final class PullbackChain {
  private var parts: [Pullback] = []

  package init() {}

  package func append(_ pullback: Pullback) { parts.append(pullback) }

  package func walk(_ dy: Tensor) throws -> Tensor {
    precondition(!parts.isEmpty, "the way back was walked before, or its pass was not to have one")
    var d = dy
    while let pullback = parts.popLast() { d = try pullback(d) }
    return d
  }
}

/// What cross-attention reads, `[batch·length, width]`, with the gradient that comes back to it from all layers.
package final class Memory {
  package let rows: Tensor
  /// Real rows of every sequence; `nil`: all.
  package let lengths: [Int]?
  package private(set) var gradient: Tensor?

  package init(_ rows: Tensor, lengths: [Int]?) { (self.rows, self.lengths) = (rows, lengths) }

  /// Adds the gradient that one layer gives.
  package func add(_ d: Tensor, _ context: ExecutionContext) throws {
    gradient = try gradient.map { try context.add($0, d) } ?? d
  }
}

/// Hears what passes between the layers of a walk.
package protocol LayerObserver {
  /// What the layer of a sublayer read (after the norm, where the norm comes first) and gave (before the residual sum).
  func branch(_ sublayer: Sublayer, read: Tensor, gave: Tensor)
  /// What attention read, and the log-sum-exp that it gave.
  func attended(_ plan: any AttentionVariant, reading inputs: Operands, lse: Tensor?)
  /// The residual stream under the first block, then that after every block; the mean of both where there are two.
  func stream(_ x: Tensor)
  /// The variant of a layer, and what it read.
  func attended(_ layer: String, _ variant: any AttentionVariant, _ inputs: Operands)
}

/// It need not listen to everything.
extension LayerObserver {
  package func branch(_ sublayer: Sublayer, read: Tensor, gave: Tensor) {}
  package func stream(_ x: Tensor) {}
  package func attended(_ layer: String, _ variant: any AttentionVariant, _ inputs: Operands) {}
}

extension LayerObserver {
  /// Not heard.
  package func attended(_ plan: any AttentionVariant, reading inputs: Operands, lse: Tensor?) {}
}

extension ExecutionContext {
  /// `residual + y`, or y where there is no residual.
  package func sum(_ residual: Tensor?, _ y: Tensor) throws -> Tensor {
    try residual.map { try add($0, y) } ?? y
  }
}
