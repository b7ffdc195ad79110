import Basics
import Tasks

/// An IDX file, as MNIST and its kin come: two zero bytes, a byte for the type, one for the number of axes, the extents as big-endian
/// words of 32 bits, then the elements, row-major and big-endian.
enum IDXFile {
  /// Whether a file begins as an IDX file does.
  static func isIDX(_ bytes: [UInt8]) -> Bool {
    bytes.count >= 4 && bytes[0] == 0 && bytes[1] == 0 && [8, 9, 11, 12, 13, 14].contains(bytes[2])
  }

  /// Reads the bytes of a file.
  /// - Throws: `TextError` for a file that is cut, or too long.
  static func array(_ bytes: [UInt8], path: String) throws(TextError) -> (
    values: [Double], shape: [Int], isByte: Bool
  ) {
    let axes = Int(bytes[3]), start = 4 + 4 * axes
    guard axes >= 1, axes <= 4, bytes.count >= start else {
      throw TextError("\(path): an IDX file of \(axes) axes; 1 to 4 and their extents are needed")
    }
    func word(_ place: Int, _ width: Int) -> UInt64 {
      bytes[place..<place + width].reduce(0) { $0 << 8 | UInt64($1) }
    }
    let shape = (0..<axes).map { Int(word(4 + 4 * $0, 4)) }
    let width =
      switch bytes[2] {
      case 8, 9: 1
      case 11: 2
      case 12, 13: 4
      default: 8
      }
    var count = 1
    for extent in shape {
      let (product, overflow) = count.multipliedReportingOverflow(by: extent)
      guard !overflow, product < 1 << 40 else { throw TextError("\(path): extents \(shape) are too large") }
      count = product
    }
    guard bytes.count - start == count * width else {
      throw TextError(
        "\(path): \(bytes.count - start) bytes of elements; \(shape) of \(width) bytes each take \(count * width)"
      )
    }
    let values = (0..<count).map { element -> Double in
      let word = word(start + element * width, width)
      return switch bytes[2] {
      case 8: Double(word)
      case 9: Double(Int8(truncatingIfNeeded: word))
      case 11: Double(Int16(truncatingIfNeeded: word))
      case 12: Double(Int32(truncatingIfNeeded: word))
      case 13: Double(Float(bitPattern: UInt32(truncatingIfNeeded: word)))
      default: Double(bitPattern: word)
      }
    }
    return (values, shape, bytes[2] == 8)
  }
}
