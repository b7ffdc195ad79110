import Tensors

extension NpyArray {
  /// Reads the bytes of a file.
  /// - Parameters:
  ///   - file: the bytes.
  ///   - path: the name for error texts.
  /// - Throws: `NpyError`.
  public init(bytes file: [UInt8], path: String) throws(NpyError) {
    let (header, start) = try NpyHeader.parse(file, path: path)
    var count = 1
    for extent in header.shape {
      let (product, overflow) = count.multipliedReportingOverflow(by: extent)
      guard !overflow, product < 1 << 48 else {
        throw NpyError(path: path, problem: "shape \(header.shape) is too large")
      }
      count = product
    }
    let needed = count * header.type.byteCount, found = file.count - start
    guard found >= needed else {
      throw NpyError(
        path: path,
        problem:
          "truncated: \(needed) bytes of data expected for \(header.type) \(header.shape), \(found) found")
    }
    guard found == needed else {
      throw NpyError(
        path: path,
        problem:
          "\(found - needed) bytes behind the data of \(header.type) \(header.shape); one array a file is read"
      )
    }
    self.init(
      type: header.type, shape: header.shape,
      elements: try NpyArray.decode(file, from: start, count: count, header, path: path))
  }

  private static func decode(
    _ file: [UInt8], from start: Int, count: Int, _ header: NpyHeader, path: String
  ) throws(NpyError) -> Elements {
    let width = header.type.byteCount, isBigEndian = header.isBigEndian
    func map<T>(_ convert: (UInt64) -> T) -> [T] {
      file.withUnsafeBufferPointer { bytes in
        var result: [T] = []
        result.reserveCapacity(count)
        forEachPlace(in: header, count: count) { place in
          let position = start + place * width
          var word: UInt64 = 0
          for byte in 0..<width {
            word |= UInt64(bytes[position + byte]) << (8 * UInt64(isBigEndian ? width - 1 - byte : byte))
          }
          result.append(convert(word))
        }
        return result
      }
    }
    switch header.type {
    case .bfloat16: return .float(map { BrainPrecision.float(UInt16(truncatingIfNeeded: $0)) })
    case .float16: return .float(map { HalfPrecision.float(UInt16(truncatingIfNeeded: $0)) })
    case .float32: return .float(map { Float(bitPattern: UInt32(truncatingIfNeeded: $0)) })
    case .float64: return .double(map { Double(bitPattern: $0) })
    case .int8: return .integer(map { Int64(Int8(truncatingIfNeeded: $0)) })
    case .int16: return .integer(map { Int64(Int16(truncatingIfNeeded: $0)) })
    case .int32: return .integer(map { Int64(Int32(truncatingIfNeeded: $0)) })
    case .int64: return .integer(map { Int64(bitPattern: $0) })
    case .uint8, .uint16, .uint32: return .integer(map { Int64($0) })
    case .bool: return .integer(map { $0 == 0 ? 0 : 1 })
    case .uint64:
      let values = map { $0 }
      if let bad = values.firstIndex(where: { $0 > UInt64(Int64.max) }) {
        let index = zip(Tensor.rowMajorStrides(header.shape), header.shape).map { bad / $0 % $1 }
        throw NpyError(
          path: path, problem: "element \(index) is \(values[bad]); whole numbers are read up to \(Int64.max)"
        )
      }
      return .integer(values.map { Int64($0) })
    }
  }

  /// Calls `body` with the place in the file of every element, in row-major order.
  /// - Complexity: O(elements); nothing is allocated but an index of the axes.
  private static func forEachPlace(in header: NpyHeader, count: Int, _ body: (Int) -> Void) {
    guard header.isFortranOrder, count > 0 else {
      for place in 0..<count { body(place) }
      return
    }
    let shape = header.shape
    var strides = [Int](repeating: 1, count: shape.count)
    for axis in shape.indices.dropFirst() { strides[axis] = strides[axis - 1] * shape[axis - 1] }
    var index = [Int](repeating: 0, count: shape.count)
    var place = 0
    for _ in 0..<count {
      body(place)
      // The last axis is the fastest: it is counted on, and what is full starts again.
      for axis in shape.indices.reversed() {
        index[axis] += 1
        place += strides[axis]
        guard index[axis] == shape[axis] else { break }
        place -= strides[axis] * shape[axis]
        index[axis] = 0
      }
    }
  }

  /// The bytes of a little-endian, row-major file.
  public var fileBytes: [UInt8] {
    var bytes = NpyHeader(type: type, shape: shape).bytes
    bytes.reserveCapacity(bytes.count + count * type.byteCount)
    func append(_ word: UInt64) {
      for byte in 0..<type.byteCount { bytes.append(UInt8(truncatingIfNeeded: word >> (8 * UInt64(byte)))) }
    }
    switch elements {
    case .float(let values) where type == .bfloat16:
      for value in values { append(UInt64(BrainPrecision.bits(value))) }
    case .float(let values) where type == .float16:
      for value in values { append(UInt64(HalfPrecision.bits(value))) }
    case .float(let values): for value in values { append(UInt64(value.bitPattern)) }
    case .double(let values): for value in values { append(value.bitPattern) }
    case .integer(let values): for value in values { append(UInt64(bitPattern: value)) }
    }
    return bytes
  }
}
