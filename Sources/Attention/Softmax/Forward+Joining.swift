import AttentionCore
import Tensors

extension Forward {
  /// One softmax of passes over disjoint keys of the same rows: their LSE reduction.
  ///
  /// Every part goes back with output and LSE of all (`SoftmaxRows`), so that it needs nothing of the others.
  /// - Parameters:
  ///   - passes: at least one; each can be a part of a softmax.
  ///   - context: threads and instruction set.
  ///   - back: the gradients of the operands from those of every pass, in their order.
  /// - Throws: nothing of its own.
  init(
    joining passes: [Forward], in context: ExecutionContext,
    back: @escaping @Sendable (_ gradients: [Operands], _ context: ExecutionContext) throws -> Operands
  ) throws {
    let pullbacks = passes.map { pass in
      guard let pullback = pass.partialPullback else { preconditionFailure("a pass that is no part") }
      return pullback
    }
    var (output, lse) = passes[0].results()
    for pass in passes.dropFirst() {
      Engine.merge(
        pass.results(), into: &output, lse: &lse, at: RowRuns(all: output.shape[2]), in: context)
    }
    self.init(output: output, lse: lse) { outputGradient, rows, context in
      let all = SoftmaxRows(output: rows.output, lse: rows.lse, hasOtherKeys: true)
      return try back(try pullbacks.map { try $0(outputGradient, all, context) }, context)
    }
  }
}
