import Basics
import CKernels
import Tensors

/// Convolutions whose groups have so few channels that a product of each would leave a register tile all but empty: a filter a
/// channel, with channels side by side in a vector.
///
/// A group of several input channels is that many such convolutions of the output's channels, each on one input channel of every
/// group, spread over the group's outputs. Beside the result this holds the filters and, of groups of more than one channel, as
/// much as the result for the spread input.
extension ConvolutionShape {
  /// The most channels of a group, on either side, that are convolved in this way.
  static let mostNarrowChannels = 8
  /// Whether groups are narrow.
  var isNarrow: Bool {
    groups > 1 && groupInput <= Self.mostNarrowChannels && groupOutput <= Self.mostNarrowChannels
  }
  /// Whether the channel of the input is that of the result.
  fileprivate var isDepthwise: Bool { groupInput == 1 && groupOutput == 1 }

  fileprivate func window(over grid: Grid, to result: Grid) -> attn_window {
    attn_window(
      channels: output, height: grid.height, width: grid.width, lines: result.height, columns: result.width,
      size: window.size, stride: window.stride, padding: window.padding, dilation: window.dilation)
  }

  /// The window that leads from the result back to the input, at stride 1: its filters stand the other way round.
  fileprivate func mirrored(over grid: Grid, to result: Grid) -> attn_window {
    attn_window(
      channels: output, height: result.height, width: result.width, lines: grid.height, columns: grid.width,
      size: window.size, stride: 1, padding: window.reach - 1 - window.padding, dilation: window.dilation)
  }
}

extension ExecutionContext {
  /// As `convolve`, of narrow groups.
  func convolveNarrow(
    _ x: Tensor, over grid: Grid, to result: Grid, _ shape: ConvolutionShape, weight: Tensor, bias: Tensor?
  ) throws(MemoryLimitExceeded) -> Tensor {
    let batch = x.shape[0] / grid.count, window = shape.window(over: grid, to: result)
    var y = try empty([batch * result.count, shape.output])
    let yView = y.pinnedForWriting(), bias = bias?.pinned()
    for channel in 0..<shape.groupInput {
      let filters = try filters(weight, shape, channel, mirrored: false).pinned()
      let source = try spread(x, shape, channel).pinned()
      slices(batch * result.height, grain: 1, cost: result.width * shape.window.count * shape.output) {
        lines in
        for line in lines {
          let (image, own) = line.quotientAndRemainder(dividingBy: result.height)
          withUnsafePointer(to: window) {
            attn_depthwise(
              isa, $0, source + image * grid.count * shape.output, filters.pointer, bias?.pointer,
              channel > 0 ? 1 : 0, yView + image * result.count * shape.output, own, own + 1)
          }
        }
      }
    }
    return y
  }

  /// As `convolveBackward`, of narrow groups. Gradients of weights are summed image by image, whatever `threads` is.
  func convolveNarrowBackward(
    _ dy: Tensor, x: Tensor, over grid: Grid, to result: Grid, _ shape: ConvolutionShape, weight: Tensor,
    gradients: inout Tensor, weightAt: Int, biasAt: Int?
  ) throws(MemoryLimitExceeded) -> Tensor {
    let batch = x.shape[0] / grid.count, window = shape.window(over: grid, to: result)
    let taps = shape.window.count, count = taps * shape.output, dyView = dy.pinned()
    var dx = shape.isDepthwise ? nil : try empty(x.shape)
    for channel in 0..<shape.groupInput {
      let source = try spread(x, shape, channel).pinned()
      // A row behind the filters is the bias's.
      var parts = try zeros([batch, count + shape.output])
      let partsView = parts.pinnedForWriting()
      slices(batch, grain: 1, cost: result.count * count) { images in
        for image in images {
          let own = partsView + image * (count + shape.output)
          withUnsafePointer(to: window) {
            attn_depthwise_gradient(
              isa, $0, dyView + image * result.count * shape.output,
              source + image * grid.count * shape.output, own, channel == 0 ? own + count : nil)
          }
        }
      }
      let sums = gradients.pinnedForWriting()
      for image in 0..<batch {
        let own = partsView + image * (count + shape.output)
        for output in 0..<shape.output {
          let target = sums + weightAt + output * shape.terms + channel
          for tap in 0..<taps { target[tap * shape.groupInput] += own[tap * shape.output + output] }
          if channel == 0, let biasAt { sums[biasAt + output] += own[count + output] }
        }
      }
      let back = try scattered(dy, over: grid, to: result, shape, weight: weight, channel)
      guard dx != nil else { return back }
      gather(back, shape, channel, into: &dx)
    }
    guard let dx else { preconditionFailure("a group has an input channel") }
    return dx
  }

  /// What dy says of the input of one channel of every group, spread over the outputs.
  private func scattered(
    _ dy: Tensor, over grid: Grid, to result: Grid, _ shape: ConvolutionShape, weight: Tensor, _ channel: Int
  ) throws(MemoryLimitExceeded) -> Tensor {
    let batch = dy.shape[0] / result.count, isMirrored = shape.window.stride == 1
    let filters = try filters(weight, shape, channel, mirrored: isMirrored).pinned()
    var back = try zeros([batch * grid.count, shape.output])
    let view = back.pinnedForWriting(), dy = dy.pinned()
    let window = isMirrored ? shape.mirrored(over: grid, to: result) : shape.window(over: grid, to: result)
    slices(batch * grid.height, grain: 1, cost: grid.width * shape.window.count * shape.output) { rows in
      for row in rows {
        let (image, own) = row.quotientAndRemainder(dividingBy: grid.height)
        let d = dy + image * result.count * shape.output, target = view + image * grid.count * shape.output
        withUnsafePointer(to: window) {
          if isMirrored {
            attn_depthwise(isa, $0, d, filters.pointer, nil, 0, target, own, own + 1)
          } else {
            attn_depthwise_scatter(isa, $0, d, filters.pointer, target, own, own + 1)
          }
        }
      }
    }
    return back
  }

  /// The weights of one input channel of every group, `[size·size, output]`.
  private func filters(
    _ weight: Tensor, _ shape: ConvolutionShape, _ channel: Int, mirrored: Bool
  ) throws(MemoryLimitExceeded) -> Tensor {
    let taps = shape.window.count
    var result = try empty([taps, shape.output])
    let view = result.pinnedForWriting(), weight = weight.pinned()
    for tap in 0..<taps {
      let from = mirrored ? taps - 1 - tap : tap
      for output in 0..<shape.output {
        view[tap * shape.output + output] = weight[output * shape.terms + from * shape.groupInput + channel]
      }
    }
    return result
  }

  /// One input channel of every group, as often as the group has outputs: `[places, output]`.
  private func spread(
    _ x: Tensor, _ shape: ConvolutionShape, _ channel: Int
  ) throws(MemoryLimitExceeded) -> Tensor {
    if shape.isDepthwise { return x }
    var result = try empty([x.shape[0], shape.output])
    let view = result.pinnedForWriting(), x = x.pinned()
    slices(result.shape[0], grain: 64, cost: shape.output) { rows in
      for row in rows {
        let source = x + row * shape.input + channel, target = view + row * shape.output
        for output in 0..<shape.output {
          target[output] = source[output / shape.groupOutput * shape.groupInput]
        }
      }
    }
    return result
  }

  /// Sums what the outputs of a group say of one of its input channels.
  private func gather(_ back: Tensor, _ shape: ConvolutionShape, _ channel: Int, into dx: inout Tensor?) {
    guard let view = dx?.pinnedForWriting() else { return }
    let places = back.shape[0], back = back.pinned()
    slices(places, grain: 64, cost: shape.output) { rows in
      for row in rows {
        let source = back + row * shape.output, target = view + row * shape.input + channel
        for group in 0..<shape.groups {
          var sum: Float = 0
          for output in 0..<shape.groupOutput { sum += source[group * shape.groupOutput + output] }
          target[group * shape.groupInput] = sum
        }
      }
    }
  }
}
