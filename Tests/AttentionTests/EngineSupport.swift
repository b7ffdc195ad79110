import AttentionCore
import Basics
import Foundation
import Tensors

@testable import Attention

/// A case of the engine tests: everything from a seed, so that a failure names what to repeat.
struct EngineCase: CustomStringConvertible, Sendable {
  var shape: AttentionShape
  var lists: [TileList]
  var pattern: TilePattern
  var seed: UInt64

  var description: String { "seed \(seed), \(shape)" }

  /// Random tiles with every kind of row list, key list and mask; rows and keys may repeat.
  init(seed: UInt64, shape: AttentionShape, tiles: Int, perHead: Bool = false) {
    var generator = RandomKey(seed: seed)("tiles").generator()
    self.shape = shape
    self.seed = seed
    lists = (0..<(perHead ? shape.queryHeads : 1)).map { _ in
      EngineCase.randomList(shape, tiles: tiles, using: &generator)
    }
    pattern = perHead ? TilePattern(perHead: lists) : TilePattern(shared: lists[0])
  }

  init(shape: AttentionShape, list: TileList, seed: UInt64 = 1) {
    self.shape = shape
    self.seed = seed
    lists = [list]
    pattern = TilePattern(shared: list)
  }

  private static func randomList(
    _ shape: AttentionShape, tiles: Int, using generator: inout RandomGenerator
  ) -> TileList {
    var list = TileList()
    for _ in 0..<tiles {
      let rowLimit = shape.queryLength
      let kind = generator.integer(below: 3)
      let stride = kind == 1 ? 1 + generator.integer(below: 3) : 1
      let count = 1 + generator.integer(below: min(64, (rowLimit + stride - 1) / stride))
      var segments: [TileList.Segment] = []
      for _ in 0..<generator.integer(below: 4) {
        segments.append(randomSegment(shape, rows: count, list: &list, using: &generator))
      }
      if kind == 2 {
        var rows = Array(0..<Int32(rowLimit))
        rows.shuffle(using: &generator)
        list.addTile(rows: Array(rows.prefix(count)), segments: segments)
      } else {
        let start = generator.integer(below: rowLimit - (count - 1) * stride)
        list.addTile(start: start, count: count, stride: stride, segments: segments)
      }
    }
    return list
  }

  private static func randomSegment(
    _ shape: AttentionShape, rows: Int, list: inout TileList, using generator: inout RandomGenerator
  ) -> TileList.Segment {
    let keys = shape.keyLength
    let stride = 1 + generator.integer(below: 3)
    let count = 1 + generator.integer(below: (keys + stride - 1) / stride)
    let mask: TileList.Mask
    switch generator.integer(below: 4) {
    case 0: mask = .full
    case 1:
      let low = generator.integer(below: 40) - 20
      mask = .band(low: Int32(low), high: Int32(low + generator.integer(below: keys)))
    case 2: mask = .notSelf
    default: mask = list.bitMask((0..<count).map { _ in generator.next() })
    }
    if generator.integer(below: 2) == 0 {
      return list.gathered(
        keys: (0..<count).map { _ in Int32(generator.integer(below: keys)) }, mask: mask)
    }
    let start = generator.integer(below: keys - (count - 1) * stride)
    return TileList.Segment(start: start, count: count, stride: stride, mask: mask)
  }

  /// The multiplicity of every (row, key) of a list, padding applied, read from the tiles one pair at a time.
  func multiplicity(batch: Int, head: Int) -> [[Double]] {
    var counts = [[Double]](
      repeating: [Double](repeating: 0, count: shape.keyLength), count: shape.queryLength)
    let list = pattern.list(batch: batch, head: head)
    for tile in list.tiles {
      for lane in 0..<Int(tile.count) {
        let row = list.row(tile, lane)
        for number in 0..<Int(tile.segmentCount) {
          let segment = list.segments[Int(tile.firstSegment) + number]
          for t in 0..<Int(segment.count) {
            let key =
              segment.stride == 0
              ? Int(list.keyIndices[Int(segment.start) + t]) : Int(segment.start) + t * Int(segment.stride)
            guard key < shape.validKeys(batch: batch) else { continue }
            let distance = row + shape.queryOffset - key
            switch segment.mask {
            case .full: counts[row][key] += 1
            case .band(let low, let high): if distance >= low && distance <= high { counts[row][key] += 1 }
            case .notSelf: if distance != 0 { counts[row][key] += 1 }
            case .bits(let offset):
              if list.bits[Int(offset) + t] >> UInt64(lane) & 1 == 1 { counts[row][key] += 1 }
            }
          }
        }
      }
    }
    return counts
  }
}

/// Inputs of a case: contiguous, or views of `[batch, length, heads, dim]` arrays.
struct EngineInputs {
  var query: Tensor, key: Tensor, value: Tensor, outputGradient: Tensor

  init(_ shape: AttentionShape, seed: UInt64, strided: Bool = false, spread: Double = 1) throws {
    let key = RandomKey(seed: seed)
    func draw(_ shape: [Int], _ name: String, _ deviation: Double = 1) throws -> Tensor {
      guard strided else { return try Tensor.normal(shape, key: key(name), standardDeviation: deviation) }
      return try Tensor.normal(
        [shape[0], shape[2], shape[1], shape[3]], key: key(name), standardDeviation: deviation
      ).transposed(1, 2)
    }
    query = try draw(shape.queryShape, "q", spread)
    self.key = try draw(shape.keyShape, "k")
    value = try draw(shape.valueShape, "v")
    outputGradient = try draw(shape.outputShape, "g")
  }
}

/// The definition in Double, one pair at a time.
struct NaiveResult {
  var output: [Double] = [], lse: [Double] = []
  var query: [Double] = [], key: [Double] = [], value: [Double] = []

  init(_ test: EngineCase, _ inputs: EngineInputs, scale: Double) {
    let shape = test.shape
    let (d, e, n, m) = (shape.headDim, shape.valueDim, shape.queryLength, shape.keyLength)
    let q = inputs.query.array().map(Double.init), k = inputs.key.array().map(Double.init)
    let v = inputs.value.array().map(Double.init), g = inputs.outputGradient.array().map(Double.init)
    output = Array(repeating: 0, count: shape.batch * shape.queryHeads * n * e)
    lse = Array(repeating: -.infinity, count: shape.batch * shape.queryHeads * n)
    query = Array(repeating: 0, count: q.count)
    key = Array(repeating: 0, count: k.count)
    value = Array(repeating: 0, count: v.count)
    for batch in 0..<shape.batch {
      for head in 0..<shape.queryHeads {
        let counts = test.multiplicity(batch: batch, head: head)
        let top = batch * shape.queryHeads + head
        let keyTop = batch * shape.keyHeads + shape.keyHead(of: head)
        for i in 0..<n {
          let row = top * n + i
          let seen = (0..<m).filter { counts[i][$0] > 0 }
          guard !seen.isEmpty else { continue }
          // One row of q and of dO, all seen rows of k and v.
          let keys = DoubleVectors.Rows(k, from: keyTop * m * d, step: d, count: d)
          let values = DoubleVectors.Rows(v, from: keyTop * m * e, step: e, count: e)
          let queries = DoubleVectors.Rows(q, from: row * d, step: 0, count: d)
          let gradients = DoubleVectors.Rows(g, from: row * e, step: 0, count: e)
          var scores = [Double](repeating: 0, count: seen.count), slopes = scores, sizes = scores
          DoubleVectors.addDots(scale, queries, keys, seen, to: &scores, &sizes)
          let high = scores.max() ?? 0
          var weights = scores, sum = 0.0
          for (t, j) in seen.enumerated() {
            weights[t] = counts[i][j] * exp(scores[t] - high)
            sum += weights[t]
          }
          lse[row] = high + log(sum)
          for t in weights.indices { weights[t] /= sum }
          DoubleVectors.addRows(weights, values, seen, to: &output, from: row * e, step: 0)
          let delta = DoubleVectors.dot(output, row * e, g, row * e, count: e).sum
          DoubleVectors.addRows(weights, gradients, seen, to: &value, from: keyTop * m * e, step: e)
          DoubleVectors.addDots(1, gradients, values, seen, to: &slopes, &sizes)
          for t in slopes.indices { slopes[t] = weights[t] * (slopes[t] - delta) * scale }
          DoubleVectors.addRows(slopes, keys, seen, to: &query, from: row * d, step: 0)
          DoubleVectors.addRows(slopes, queries, seen, to: &key, from: keyTop * m * d, step: d)
        }
      }
    }
  }
}

/// ‖a − b‖ / ‖b‖ over all elements; infinities must agree exactly.
func relativeError(_ tensor: Tensor, _ reference: [Double]) -> Double {
  var difference = 0.0
  var norm = 0.0
  let values = tensor.array()
  guard values.count == reference.count else { return .infinity }
  for index in values.indices {
    let got = values[index], want = reference[index]
    if want.isInfinite || !got.isFinite {
      if Double(got) != want { return .infinity }
      continue
    }
    difference += (Double(got) - want) * (Double(got) - want)
    norm += want * want
  }
  return norm == 0 ? difference.squareRoot() : (difference / norm).squareRoot()
}
