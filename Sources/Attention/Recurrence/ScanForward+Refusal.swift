import AttentionCore
import CKernels
import Synchronization
import Tensors

/// Outputs that single precision does not hold.
extension ScanForward {
  /// Refuses rows whose output is not finite; notes those that are padding, and nobody's result.
  func refuse(
    _ batch: Int, _ queryHead: Int, _ rows: Range<Int>, _ keys: Range<Int>, _ first: Int,
    _ state: UnsafeMutablePointer<Float>, isGentle: Bool, _ base: UnsafeMutablePointer<Float>
  ) throws {
    let v = shape.valueDim, target = output.row(batch, queryHead, rows.lowerBound)
    guard attn_scan_finite(isa, target, v, rows.count, v) == 0 else { return }
    let bad = rows.filter { attn_scan_finite(isa, target + ($0 - rows.lowerBound) * v, v, 1, v) == 0 }
    guard bad.allSatisfy({ shape.isPaddedQuery(batch: batch, query: $0) }) else {
      if scan.readsInPlace || isGentle {
        loadKeys(batch, shape.keyHead(of: queryHead), keys, base)
        loadQueries(batch, queryHead, rows, base + layout.queries)
      }
      let row = firstOverflow(batch, shape.keyHead(of: queryHead), rows.count, keys, first, state, base)
      throw StateOverflow(batch: batch, head: queryHead, query: rows.lowerBound + row)
    }
    let start = (batch * shape.queryHeads + queryHead) * shape.queryLength
    padding.note(bad.map { start + $0 })
  }

  /// The first row whose own terms have no finite sum: in the products of a chunk a later key that is not finite spoils earlier rows
  /// too.
  private func firstOverflow(
    _ batch: Int, _ keyHead: Int, _ rows: Int, _ keys: Range<Int>, _ first: Int,
    _ state: UnsafeMutablePointer<Float>, _ base: UnsafeMutablePointer<Float>
  ) -> Int {
    let (d, v) = (shape.headDim, shape.valueDim)
    let own = base + layout.queries + (scan.isByChannel ? first * d : 0)
    func dot(_ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, step: Int) -> Double {
      (0..<d).reduce(0.0) { $0 + Double(a[$1]) * Double(b[$1 * step]) }
    }
    func isFinite(_ row: Int) -> Bool {
      let query = own + row * d, last = min(first + row + 1, keys.count)
      let products = (0..<last).map { dot(query, base + layout.keys + $0 * d, step: 1) }
      return (0..<v).allSatisfy { c in
        let sum = products.enumerated().reduce(dot(query, state + c, step: v)) {
          $0 + $1.element * Double(added.row(batch, keyHead, keys.lowerBound + $1.offset)[c])
        }
        return Float(sum).isFinite
      }
    }
    return (0..<rows).first { !isFinite($0) } ?? 0
  }
}

/// Padded rows whose outputs single precision does not hold, as blocks find them.
final class OverflowedPadding: Sendable {
  private let found = Mutex<[Int]>([])
  func note(_ rows: [Int]) { found.withLock { $0 += rows } }
  /// In rising order, whoever found them first.
  var rows: [Int] { found.withLock { $0.sorted() } }
}
