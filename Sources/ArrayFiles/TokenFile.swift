import Basics

/// Whole numbers in `.npy` files: token ids, targets, lengths.
package enum TokenFile {
  /// Numbers and their shape.
  package typealias Integers = (values: [Int64], shape: [Int])

  /// An integer array of a rank.
  /// - Throws: `UsageError` for another type (true and false are no numbers) or rank; `NpyError`.
  package static func integers(_ path: String, rank: ClosedRange<Int>) throws -> Integers {
    let array = try NpyArray(contentsOf: path)
    guard rank.contains(array.shape.count), array.type != .bool, let values = array.integers else {
      let allowed =
        rank == 1...1 ? "[batch]" : rank == 2...2 ? "[batch, length]" : "[batch, length] or [length]"
      throw UsageError("\(path): \(array.type.title) \(array.shape); integers \(allowed) expected")
    }
    return (values, array.shape)
  }

  /// Numbers as token ids or targets.
  /// - Throws: `UsageError` for one that does not fit into 32 bits.
  package static func ids(_ values: [Int64], _ path: String) throws(UsageError) -> [Int32] {
    try values.map { value throws(UsageError) in
      guard let id = Int32(exactly: value) else {
        throw UsageError("\(path): \(value) is no token id; it takes whole numbers below \(Int32.max)")
      }
      return id
    }
  }

  /// The rows of an integer array `[length]` or `[batch, length]`.
  /// - Throws: as above, and `UsageError` for an array without elements.
  package static func rows(_ path: String) throws -> [[Int32]] {
    let (values, shape) = try integers(path, rank: 1...2)
    guard let length = shape.last, length > 0, !values.isEmpty else {
      throw UsageError("\(path): an empty array \(shape); at least one token expected")
    }
    let ids = try ids(values, path)
    return stride(from: 0, to: ids.count, by: length).map { Array(ids[$0..<$0 + length]) }
  }

  /// Real tokens of every row of an array: integers `[batch]`.
  /// - Parameters:
  ///   - rows: how many rows there are.
  ///   - range: what a row can have.
  /// - Throws: `UsageError` for another count or a number out of range; `NpyError`.
  package static func lengths(_ path: String, rows: Int, in range: ClosedRange<Int>) throws -> [Int] {
    let values = try integers(path, rank: 1...1).values
    let lengths = values.compactMap { Int(exactly: $0) }.filter(range.contains)
    guard values.count == rows, lengths.count == rows else {
      throw UsageError(
        "\(path): \(rows) whole numbers from \(range.lowerBound) to \(range.upperBound) expected")
    }
    return lengths
  }

  /// The rows of an integer array, each without its padding.
  /// - Parameter lengths: the file with the real tokens of every row; `nil`: all are real.
  /// - Throws: as above.
  package static func rows(_ path: String, lengths: String?) throws -> [[Int32]] {
    let rows = try rows(path)
    guard let lengths else { return rows }
    let counts = try self.lengths(lengths, rows: rows.count, in: 1...rows[0].count)
    return zip(rows, counts).map { Array($0.prefix($1)) }
  }
}
