import Tensors

/// The extents of a convolution and the way in which its window moves.
///
/// Weights are `[output, size, size, input/groups]`: with groups, output channel o reads the input channels of the group
/// `o·groups/output` alone.
public struct ConvolutionShape: Hashable, Sendable {
  /// How the window moves.
  public let window: Window
  /// Channels of the input.
  public let input: Int
  /// Channels of the result.
  public let output: Int
  /// Groups of channels, each convolved for itself.
  public let groups: Int

  /// Takes extents.
  /// - Precondition: all at least 1; groups divide both counts of channels.
  public init(_ window: Window, from input: Int, to output: Int, groups: Int = 1) {
    precondition(
      groups >= 1 && input >= 1 && output >= 1 && input % groups == 0 && output % groups == 0,
      "\(groups) groups of \(input) and \(output) channels")
    (self.window, self.input, self.output, self.groups) = (window, input, output, groups)
  }

  /// Input channels of a group.
  public var groupInput: Int { input / groups }
  /// Output channels of a group.
  public var groupOutput: Int { output / groups }
  /// Terms of the sum that an element of the result is.
  public var terms: Int { window.count * groupInput }
  /// The extents of the weights.
  public var weightShape: [Int] { [output, window.size, window.size, groupInput] }
  /// Whether it is a product of rows with a matrix.
  var isProduct: Bool { window.size == 1 && window.stride == 1 && window.padding == 0 && groups == 1 }
  /// Whether what a window covers of a row of places lies side by side.
  var isDense: Bool { window.dilation == 1 && groups == 1 }
  /// Windows whose patches are laid out at a time on the way back: about a megabyte of them, fixed by the shape alone.
  var patchRows: Int { max(64, (1 << 18) / terms) }
}
