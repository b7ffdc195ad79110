import Foundation
import Images
import Layers
import Tensors

@testable import Vision

/// Layers on images as they are written down, in Double, a number at a time: the judge of the fast ones.
struct ImageDefinition {
  /// All parameters, flat.
  var weights: [Double]
  /// Running moments.
  let buffers: [Float]
  let training: Bool
  /// Products of a weight with something.
  final class Count { var products = 0 }
  let count = Count()

  func values(_ slot: ParameterSlot) -> ArraySlice<Double> { weights[slot.range] }
  static func sigmoid(_ x: Double) -> Double { 1 / (1 + exp(-x)) }

  func apply(_ layer: any Layer, _ x: Pixels) -> Pixels {
    switch layer {
    case let layer as Convolution: convolution(layer, x)
    case let layer as Normalization: norm(layer, x)
    case let layer as Pointwise:
      x.mapped { $0.map { layer.function == .relu ? max($0, 0) : Self.sigmoid($0) } }
    case let layer as WindowPooling: pooling(layer, x)
    case let layer as GlobalPooling:
      Pixels(
        (0..<x.batch).map { pooled(x.image($0), layer.kind) }, Grid(height: 1, width: 1), batch: x.batch)
    case let layer as ImageChain: layer.layers.reduce(x) { apply($1, $0) }
    case let layer as ResidualNetwork: apply(layer.layers, x)
    case let layer as ResidualBlock:
      (layer.shortcut.map { apply($0, x) } ?? x).combined(apply(layer.branch, x)) { max($0 + $1, 0) }
    case let layer as SqueezeExcitation: squeezed(layer, x)
    case let layer as ConvolutionalAttention: gated(layer, x)
    case let layer as ResidualAttention:
      apply(layer.trunk, x).combined(apply(layer.mask, x)) { (1 + $1) * $0 }
    case let layer as Hourglass: hourglass(layer, x)
    case let layer as PositionAttention: positions(layer, x)
    case let layer as ChannelAttention: channels(layer, x)
    case let layer as DualAttention: apply(layer.position, x).combined(apply(layer.channel, x), +)
    default: Pixels([], x.grid, batch: x.batch)
    }
  }

  // MARK: - Convolution, norm, pooling

  private func convolution(_ layer: Convolution, _ x: Pixels) -> Pixels {
    let shape = layer.shape, w = Array(values(layer.weight)), b = layer.bias.map { Array(values($0)) }
    let (own, size) = (shape.input / shape.groups, shape.window.size)
    return x.windows(shape.window) { _, places in
      (0..<shape.output).map { o in
        let first = o / (shape.output / shape.groups) * own
        var sum = b?[o] ?? 0
        for i in 0..<size {
          for j in 0..<size {
            count.products += own
            guard let place = places[i][j] else { continue }
            for c in 0..<own { sum += w[((o * size + i) * size + j) * own + c] * place[first + c] }
          }
        }
        return sum
      }
    }
  }

  private func norm(_ layer: Normalization, _ x: Pixels) -> Pixels {
    let gain = Array(values(layer.gain)), shift = layer.shift.map { Array(values($0)) } ?? []
    var mean = [Double](repeating: 0, count: layer.width), variance = mean
    for c in 0..<layer.width {
      let column = x.rows.map { $0[c] }, n = Double(column.count)
      mean[c] = training ? column.reduce(0, +) / n : Double(buffers[layer.buffer + c])
      variance[c] =
        training
        ? column.reduce(0) { $0 + ($1 - mean[c]) * ($1 - mean[c]) } / n
        : Double(buffers[layer.buffer + layer.width + c])
    }
    return x.mapped { row in
      row.indices.map {
        (row[$0] - mean[$0]) / (variance[$0] + layer.epsilon).squareRoot() * gain[$0] + shift[$0]
      }
    }
  }

  private func pooling(_ layer: WindowPooling, _ x: Pixels) -> Pixels {
    x.windows(layer.window) { _, places in
      let covered = places.joined().compactMap(\.self)
      return covered.isEmpty ? [Double](repeating: 0, count: x.channels) : pooled(covered, layer.kind)
    }
  }

  private func pooled(_ rows: [[Double]], _ kind: WindowPooling.Kind) -> [Double] {
    (rows.first ?? []).indices.map { c in
      let column = rows.map { $0[c] }
      return kind == .max ? column.max() ?? 0 : column.reduce(0, +) / Double(column.count)
    }
  }

  // MARK: - Gates

  private func linear(_ layer: Linear, _ x: [Double]) -> [Double] {
    let w = Array(values(layer.weight)), b = layer.bias.map { Array(values($0)) }
    count.products += w.count
    return (0..<layer.weight.shape[0]).map { row in
      var sum: Double = b?[row] ?? 0
      for column in x.indices { sum += w[row * x.count + column] * x[column] }
      return sum
    }
  }

  private func logits(_ gate: GateNetwork, _ z: [Double]) -> [Double] {
    linear(gate.outer, linear(gate.inner, z).map { max($0, 0) })
  }

  private func squeezed(_ layer: SqueezeExcitation, _ x: Pixels) -> Pixels {
    weighingChannels(x) { logits(layer.gate, pooled($0, .mean)) }
  }

  private func weighingChannels(_ x: Pixels, _ logits: ([[Double]]) -> [Double]) -> Pixels {
    let rows = (0..<x.batch).flatMap { number in
      let gate = logits(x.image(number)).map(Self.sigmoid)
      return x.image(number).map { zip($0, gate).map(*) }
    }
    return Pixels(rows, x.grid, batch: x.batch)
  }

  private func gated(_ layer: ConvolutionalAttention, _ x: Pixels) -> Pixels {
    let y = weighingChannels(x) { image in
      zip(logits(layer.gate, pooled(image, .mean)), logits(layer.gate, pooled(image, .max))).map(+)
    }
    let maps = y.mapped { row in
      let mean = row.reduce(0, +) / Double(row.count), top = row.max() ?? 0
      return layer.order == .meanMax ? [mean, top] : [top, mean]
    }
    let gates = apply(layer.places, maps)
    let rows = zip(y.rows, gates.rows).map { row, gate in row.map { $0 * Self.sigmoid(gate[0]) } }
    return Pixels(rows, y.grid, batch: y.batch)
  }

  // MARK: - Masks

  private func hourglass(_ layer: Hourglass, _ x: Pixels) -> Pixels {
    let h = apply(layer.down, apply(layer.pooling, x))
    let middle =
      layer.further.map { further in
        further.inner.reduce(h) { apply($1, $0) }.combined(apply(further.skip, h), +)
      } ?? h
    return resized(apply(layer.up, middle), to: x.grid)
  }

  /// Between corners that lie on each other.
  func resized(_ x: Pixels, to grid: Grid) -> Pixels {
    func place(_ i: Int, _ count: Int, _ length: Int) -> Double {
      count == 1 ? 0 : Double(i) * Double(length - 1) / Double(count - 1)
    }
    var rows: [[Double]] = []
    for image in 0..<x.batch {
      for i in 0..<grid.height {
        for j in 0..<grid.width {
          let (v, u) = (place(i, grid.height, x.grid.height), place(j, grid.width, x.grid.width))
          var row = [Double](repeating: 0, count: x.channels)
          // The tent of every place.
          for y in 0..<x.grid.height {
            for c in 0..<x.grid.width {
              let weight = max(0, 1 - abs(v - Double(y))) * max(0, 1 - abs(u - Double(c)))
              guard weight > 0, let value = x.at(image, y, c) else { continue }
              for k in row.indices { row[k] += weight * value[k] }
            }
          }
          rows.append(row)
        }
      }
    }
    return Pixels(rows, grid, batch: x.batch)
  }

  // MARK: - Dual attention

  private static func softmax(_ scores: [Double]) -> [Double] {
    let top = scores.max() ?? 0, weights = scores.map { exp($0 - top) }, sum = weights.reduce(0, +)
    return weights.map { $0 / sum }
  }

  private func positions(_ layer: PositionAttention, _ x: Pixels) -> Pixels {
    let gamma = values(layer.gamma).first ?? 0
    let rows = (0..<x.batch).flatMap { number -> [[Double]] in
      let image = x.image(number)
      let (q, k, v) = (
        image.map { linear(layer.query, $0) }, image.map { linear(layer.key, $0) },
        image.map { linear(layer.value, $0) }
      )
      return image.indices.map { p in
        let weights = Self.softmax(k.map { zip(q[p], $0).map(*).reduce(0, +) })
        return image[p].indices.map { c in
          image[p][c] + gamma * zip(weights, v).reduce(0) { $0 + $1.0 * $1.1[c] }
        }
      }
    }
    return Pixels(rows, x.grid, batch: x.batch)
  }

  private func channels(_ layer: ChannelAttention, _ x: Pixels) -> Pixels {
    let gamma = values(layer.gamma).first ?? 0
    let rows = (0..<x.batch).flatMap { number -> [[Double]] in
      let image = x.image(number), n = x.channels
      let weights = (0..<n).map { c in
        let energy = (0..<n).map { d in image.reduce(0) { $0 + $1[c] * $1[d] } }
        let top = energy.max() ?? 0
        return Self.softmax(energy.map { top - $0 })
      }
      return image.map { row in
        (0..<n).map { c in row[c] + gamma * zip(weights[c], row).map(*).reduce(0, +) }
      }
    }
    return Pixels(rows, x.grid, batch: x.batch)
  }
}
