import Images
import Layers
import Settings
import Tensors

/// A convolution over images: `y[p, o] = b_o + Σ_{i,j,c} W[o, i, j, c]·x[s·p − padding + dilation·(i, j), c]`.
///
/// x `[batch·places, input]`, W `[output, size, size, input/groups]`, b `[output]`; y `[batch·windows, output]`. Places outside an
/// image are 0. Patches are laid out a block at a time, on the way forward and back.
///
/// 2·windows·weights operations an image forward, twice that backward.
package struct Convolution: ImageLayer {
  package let name: String
  package let shape: ConvolutionShape
  package let weight: ParameterSlot
  package let bias: ParameterSlot?

  /// Declares weight and bias. Weights start as N(0, 2/(size²·output)).
  /// - Source: He et al., 2015, Delving deep into rectifiers (the sum over the fan-out, as in their code).
  package init(
    _ name: String, from input: Int, to output: Int, _ window: Window, groups: Int = 1, bias: Bool,
    in layout: inout ParameterLayout
  ) {
    self.name = name
    shape = ConvolutionShape(window, from: input, to: output, groups: groups)
    let fan = Double(window.count * shape.groupOutput)
    weight = layout.add(
      name + ".weight", shape.weightShape, .normal((2 / fan).squareRoot()), decays: true)
    self.bias = bias ? layout.add(name + ".bias", [output], .constant(0), decays: false) : nil
  }

  package func grid(over grid: Grid) throws(ConfigurationError) -> Grid {
    try shape.window.grid(over: grid, of: name)
  }

  package func forward(_ x: Tensor, _ run: LayerRun) throws -> (output: Tensor, pullback: Pullback) {
    let context = run.context, grid = run.imageGrid
    _ = try self.grid(over: grid)
    let y = try context.convolve(
      x, over: grid, shape, weight: run.weight(weight), bias: bias.map { run.weight($0) })
    let pullback = Pullback { dy, residual in
      let dx = try context.convolveBackward(
        dy, x: x, over: grid, shape, weight: run.weight(weight), gradients: &run.state.gradients,
        weightAt: weight.offset, biasAt: bias?.offset)
      return try context.sum(residual, dx)
    }
    return (y, pullback)
  }

  package func work(on size: WalkSize) -> [Work] {
    guard let grid = size.grid, let result = shape.window.grid(over: grid) else { return [] }
    return [Work(weights: weight.count, batch: size.batch, length: result.count)]
  }
}
