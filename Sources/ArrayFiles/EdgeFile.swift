import Basics
import Tensors

/// Reads the edges of a graph from a user's file: pairs (source, target) of whole numbers from 0.
///
/// `.npy`: an integer array `[edges, 2]`, or `[2, edges]` as torch_geometric has it (of two edges: `[edges, 2]`). Any other
/// name: text, one edge a line, the two numbers separated by a comma, a semicolon, a tab or blanks; empty lines, lines that begin
/// with `#` and a first line without numbers (a heading) are passed over.
public enum EdgeFile {
  /// The edges of a file.
  /// - Throws: `FileFailure`: no such file, no integers, no pairs, no edges, a negative or too large number; it says where.
  /// - Complexity: O(bytes).
  public static func edges(_ path: String) throws(FileFailure) -> EdgeList {
    let edges = path.hasSuffix(".npy") ? try array(path) : try text(path)
    guard edges.count > 0 else {
      throw FileFailure(path: path, problem: "no edges in it; at least one is needed")
    }
    return edges
  }

  private static func array(_ path: String) throws(FileFailure) -> EdgeList {
    let array: NpyArray
    do throws(NpyError) { array = try NpyArray(contentsOf: path) } catch {
      throw FileFailure(path: error.path, problem: error.problem)
    }
    guard array.type != .bool, let values = array.integers else {
      throw FileFailure(
        path: path, problem: "edges are \(array.type) numbers here; whole numbers (such as int64) are needed")
    }
    guard array.shape.count == 2, array.shape.contains(2) else {
      throw FileFailure(path: path, problem: "shape \(array.shape); edges take [edges, 2] or [2, edges]")
    }
    let isByRow = array.shape[1] == 2
    let count = isByRow ? array.shape[0] : array.shape[1]
    try check(count, path)
    var sources: [Int32] = [], targets: [Int32] = []
    sources.reserveCapacity(count)
    targets.reserveCapacity(count)
    for edge in 0..<count {
      let source = values[isByRow ? 2 * edge : edge], target = values[isByRow ? 2 * edge + 1 : count + edge]
      guard rows.contains(source), rows.contains(target) else {
        throw FileFailure(
          path: path,
          problem: "edge \(edge), \(source) → \(target); rows are numbered from 0 to \(rows.upperBound)")
      }
      sources.append(Int32(source))
      targets.append(Int32(target))
    }
    return EdgeList(sources: sources, targets: targets)
  }

  private static func text(_ path: String) throws(FileFailure) -> EdgeList {
    let bytes = try InputFile.bytes(path)
    var sources: [Int32] = [], targets: [Int32] = []
    var line = 1, start = 0
    while start < bytes.count {
      var end = start
      while end < bytes.count, bytes[end] != UInt8(ascii: "\n") { end += 1 }
      switch pair(bytes[start..<end]) {
      case .pair(let source, let target):
        sources.append(source)
        targets.append(target)
      case .nothing: break
      case .other:
        let isHeading = sources.isEmpty && !bytes[start..<end].contains { digits.contains($0) }
        guard isHeading else {
          let found = String(decoding: bytes[start..<min(end, start + 80)], as: UTF8.self)
          throw FileFailure(
            path: path,
            problem: "line \(line): \"\(shown(found))\" is no edge; two rows from 0 to \(rows.upperBound), "
              + "such as 3,7, are needed")
        }
      }
      line += 1
      start = end + 1
    }
    try check(sources.count, path)
    return EdgeList(sources: sources, targets: targets)
  }

  private enum Line {
    case pair(Int32, Int32)
    case nothing
    case other
  }

  /// What stands in a line.
  private static func pair(_ line: ArraySlice<UInt8>) -> Line {
    var numbers: [Int64] = []
    var place = line.startIndex
    var separators = 0
    while place < line.endIndex {
      let byte = line[place]
      if digits.contains(byte) {
        // Two numbers are separated by something, at most one comma or semicolon.
        guard numbers.count < 2, separators <= 1, numbers.isEmpty || isApart(line, place) else {
          return .other
        }
        var value: Int64 = 0
        while place < line.endIndex, digits.contains(line[place]) {
          value = value * 10 + Int64(line[place] - UInt8(ascii: "0"))
          guard value <= rows.upperBound else { return .other }
          place += 1
        }
        numbers.append(value)
        continue
      }
      switch byte {
      case UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\r"): break
      case UInt8(ascii: ","), UInt8(ascii: ";"):
        separators += 1
        guard numbers.count == 1, separators == 1 else { return .other }
      case UInt8(ascii: "#") where numbers.isEmpty && separators == 0: return .nothing
      default: return .other
      }
      place += 1
    }
    if numbers.isEmpty { return separators == 0 ? .nothing : .other }
    return numbers.count == 2 ? .pair(Int32(numbers[0]), Int32(numbers[1])) : .other
  }

  /// Whether the byte before a number is a separator.
  private static func isApart(_ line: ArraySlice<UInt8>, _ place: Int) -> Bool {
    place > line.startIndex && !digits.contains(line[place - 1])
  }

  private static let digits = UInt8(ascii: "0")...UInt8(ascii: "9")
  /// Rows are numbered with 32 bits.
  private static let rows: ClosedRange<Int64> = 0...(1 << 30)

  private static func check(_ count: Int, _ path: String) throws(FileFailure) {
    guard count <= EdgeList.mostEdges else {
      throw FileFailure(path: path, problem: "\(count) edges; at most \(EdgeList.mostEdges) are read")
    }
  }
}
