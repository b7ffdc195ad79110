import Layers
import Tensors

/// Where the layers of a network on images declare their parameters and buffers.
package struct ImageParts {
  package var layout = ParameterLayout()
  package var buffers: [BufferSlot] = []
  /// ε of the norms.
  package let epsilon: Double

  package init(
    _ layout: ParameterLayout = ParameterLayout(), _ buffers: [BufferSlot] = [], epsilon: Double = 1e-5
  ) {
    (self.layout, self.buffers, self.epsilon) = (layout, buffers, epsilon)
  }

  package mutating func convolution(
    _ name: String, from input: Int, to output: Int, _ window: Window = Window(1), groups: Int = 1,
    bias: Bool = false
  ) -> Convolution {
    Convolution(name, from: input, to: output, window, groups: groups, bias: bias, in: &layout)
  }

  /// BatchNorm over the places of all images, with running moments for evaluation.
  package mutating func norm(_ name: String, channels: Int) -> Normalization {
    var configuration = LayerConfiguration()
    (configuration.norm, configuration.epsilon) = (.batch, epsilon)
    return Normalization(name, configuration, width: channels, in: &layout, buffers: &buffers)
  }

  /// A convolution without bias and its norm: `name.weight` and `name.norm.…`.
  package mutating func normed(
    _ name: String, from input: Int, to output: Int, _ window: Window = Window(1), groups: Int = 1
  ) -> [any Layer] {
    [
      convolution(name, from: input, to: output, window, groups: groups),
      norm(name + ".norm", channels: output),
    ]
  }

  /// The same and ReLU.
  package mutating func activated(
    _ name: String, from input: Int, to output: Int, _ window: Window = Window(1), groups: Int = 1
  ) -> [any Layer] {
    normed(name, from: input, to: output, window, groups: groups) + [Pointwise(.relu)]
  }

  package mutating func linear(_ name: String, from input: Int, to output: Int, bias: Bool = true) -> Linear {
    Linear(name, from: input, to: output, bias: bias, in: &layout)
  }
}
