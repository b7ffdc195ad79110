import Layers
import Tensors

/// An activation of every element: `y = f(x)`.
package struct Pointwise: Layer {
  package let function: Activation

  package init(_ function: Activation) { self.function = function }

  package func forward(_ x: Tensor, _ run: LayerRun) throws -> (output: Tensor, pullback: Pullback) {
    let context = run.context
    let pullback = Pullback { dy, residual in
      try context.sum(residual, context.activateBackward(dy, x: x, function))
    }
    return (try context.activate(x, function), pullback)
  }
}
