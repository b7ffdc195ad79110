import AttentionCore
import Tensors

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// How much a key at a distance counts under a span: `m(x) = clamp((z·S + R − x)/R, 0, 1)`, 0 from x = S on.
struct SpanRamp: Sendable {
  /// S.
  let span: Int
  /// R.
  let ramp: Int
  /// |i − j| of x = 0.
  let nearest: Int

  /// x of a key `i − j` before the query; negative at a position that is left out.
  func distance(_ offset: Int) -> Int { Swift.abs(offset) - nearest }

  /// m before it is clamped; exact in Double for z of single precision.
  func height(_ z: Double, _ x: Int) -> Double { (z * Double(span) + Double(ramp - x)) / Double(ramp) }

  /// log m of a key that counts.
  func bias(_ z: Double, _ x: Int) -> Double { log(min(1, height(z, x))) }

  /// Keys on one side that count: `x < reach`.
  func reach(_ z: Double) -> Int {
    let edge = z * Double(span) + Double(ramp)
    guard edge > 0 else { return 0 }
    return edge >= Double(span) ? span : Int(edge.rounded(.up))
  }

  /// The first x on the ramp: those before count whole.
  private func rampStart(_ z: Double) -> Int {
    let edge = z * Double(span)
    guard edge >= 0 else { return 0 }
    return edge >= Double(span) ? span : Int(edge.rounded(.down)) + 1
  }

  /// The keys before a query that count.
  func band(_ reach: Int) -> BandSegments { BandSegments(low: nearest, high: nearest + reach - 1) }

  /// The tiles of a head whose keys reach so far; behind the query too where it is not causal.
  func tiles(_ reach: Int, _ shape: AttentionShape, tileRows: Int) -> TileList {
    var bands: [BandSegments] = []
    if reach > 0 {
      let last = nearest + reach - 1
      if shape.isCausal {
        bands = [band(reach)]
      } else if nearest == 0 {
        bands = [BandSegments(low: -last, high: last)]
      } else {
        bands = [band(reach), BandSegments(low: -last, high: -nearest)]
      }
    }
    var list = TileList()
    var segments: [TileList.Segment] = []
    for start in stride(from: 0, to: shape.queryLength, by: tileRows) {
      let count = min(tileRows, shape.queryLength - start), first = start + shape.queryOffset
      segments.removeAll(keepingCapacity: true)
      for band in bands {
        band.addSegments(first: first, last: first + count - 1, keys: 0..<shape.keyLength, to: &segments)
      }
      list.addTile(start: start, count: count, segments: segments)
    }
    return list
  }

  /// log m of every head and distance. Bucket 0 is what counts whole or not at all, 1 to R are the places of the ramp.
  /// - Throws: `MemoryLimitExceeded`.
  func table(
    _ spans: [Double], shape: AttentionShape, ledger: MemoryLedger?
  ) throws(MemoryLimitExceeded) -> DistanceBias {
    let values = spans.map { z -> [Float] in
      let start = rampStart(z)
      let logs = (0..<ramp).map { place -> Float in
        let height = height(z, start + place)
        return height > 0 && height < 1 ? Float(log(height)) : 0
      }
      return [0] + logs
    }
    return try DistanceBias(values, shape: shape, perHead: true, ledger: ledger) { head, offset in
      let z = spans[head], x = distance(offset), place = x - rampStart(z)
      return place >= 0 && x < reach(z) ? place + 1 : 0
    }
  }

  /// ∂L/∂z of every head from the slopes that its buckets have summed: `∂ log m/∂z = (S/R)/m` on the ramp, 0 elsewhere.
  func gradient(_ spans: [Double], of sums: [Float]) -> [Float] {
    spans.enumerated().map { head, z in
      let start = rampStart(z)
      return Float(
        (0..<ramp).reduce(0.0) { total, place in
          let sum = Double(sums[head * (ramp + 1) + place + 1])
          return sum == 0 ? total : total + sum * slope(z, start + place)
        })
    }
  }

  /// ∂ log m/∂z at a place of the ramp.
  func slope(_ z: Double, _ x: Int) -> Double { Double(span) / Double(ramp) / height(z, x) }
}
