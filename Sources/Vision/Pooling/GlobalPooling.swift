import Images
import Layers
import Tensors

/// The mean or the largest element of every channel over a whole image: x `[batch·places, channels]` → `[batch, channels]`.
///
/// The gradient of a largest element goes to the first of several.
package struct GlobalPooling: Layer {
  package let kind: WindowPooling.Kind

  package init(_ kind: WindowPooling.Kind) { self.kind = kind }

  package func forward(_ x: Tensor, _ run: LayerRun) throws -> (output: Tensor, pullback: Pullback) {
    let context = run.context, batch = run.batch, rows = x.shape[0], places = rows / batch
    switch kind {
    case .max:
      let (y, winners) = try context.maxRows(x, batch: batch)
      let pullback = Pullback { dy, residual in
        try context.sum(
          residual, context.maxPoolBackward(dy, winners: winners, batch: batch, rows: rows))
      }
      return (y, pullback)
    case .mean:
      let lengths = [Int](repeating: places, count: batch)
      let pullback = Pullback { dy, residual in
        try context.sum(residual, context.meanRowsBackward(dy, length: places, lengths: lengths))
      }
      return (try context.meanRows(x, batch: batch, lengths: lengths), pullback)
    }
  }
}
