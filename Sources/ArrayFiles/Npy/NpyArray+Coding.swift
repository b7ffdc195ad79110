extension NpyArray {
  /// Reads the bytes of a file.
  /// - Parameter path: the name for error texts.
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
    let needed = count * header.type.byteCount
    guard file.count - start >= needed else {
      throw NpyError(
        path: path,
        problem: "truncated: \(needed) bytes of data expected for \(header.type) \(header.shape), "
          + "\(file.count - start) found")
    }
    self.init(
      type: header.type, shape: header.shape,
      elements: NpyArray.decode(file, from: start, count: count, header))
  }

  private static func decode(_ file: [UInt8], from start: Int, count: Int, _ header: NpyHeader) -> Elements {
    let width = header.type.byteCount
    let order = header.isFortranOrder ? rowMajorOrder(ofColumnMajor: header.shape) : nil
    func word(_ index: Int, _ bytes: UnsafePointer<UInt8>) -> UInt64 {
      let position = start + (order?[index] ?? index) * width
      var word: UInt64 = 0
      for byte in 0..<width {
        let place = header.isBigEndian ? width - 1 - byte : byte
        word |= UInt64(bytes[position + byte]) << (8 * UInt64(place))
      }
      return word
    }
    func map<T>(_ convert: (UInt64) -> T) -> [T] {
      file.withUnsafeBufferPointer { buffer in
        guard let bytes = buffer.baseAddress else { return [] }
        return (0..<count).map { convert(word($0, bytes)) }
      }
    }
    return switch header.type {
    case .float16: .float(map { HalfPrecision.float(UInt16(truncatingIfNeeded: $0)) })
    case .float32: .float(map { Float(bitPattern: UInt32(truncatingIfNeeded: $0)) })
    case .float64: .double(map { Double(bitPattern: $0) })
    case .int32: .integer(map { Int64(Int32(truncatingIfNeeded: Int64(bitPattern: $0))) })
    case .int64: .integer(map { Int64(bitPattern: $0) })
    case .uint8: .integer(map { Int64($0) })
    case .bool: .integer(map { $0 == 0 ? 0 : 1 })
    }
  }

  /// For every element in row-major order, its place in a column-major file.
  private static func rowMajorOrder(ofColumnMajor shape: [Int]) -> [Int] {
    var strides = [Int](repeating: 1, count: shape.count)
    for axis in shape.indices.dropFirst() { strides[axis] = strides[axis - 1] * shape[axis - 1] }
    var places = [0]
    for axis in shape.indices {
      places = places.flatMap { place in (0..<shape[axis]).map { place + $0 * strides[axis] } }
    }
    return places
  }

  /// The bytes of a little-endian, row-major file.
  public var fileBytes: [UInt8] {
    var bytes = NpyHeader(type: type, shape: shape).bytes
    bytes.reserveCapacity(bytes.count + count * type.byteCount)
    func append(_ word: UInt64) {
      for byte in 0..<type.byteCount { bytes.append(UInt8(truncatingIfNeeded: word >> (8 * UInt64(byte)))) }
    }
    switch elements {
    case .float(let values) where type == .float16:
      for value in values { append(UInt64(HalfPrecision.bits(value))) }
    case .float(let values): for value in values { append(UInt64(value.bitPattern)) }
    case .double(let values): for value in values { append(value.bitPattern) }
    case .integer(let values): for value in values { append(UInt64(bitPattern: value)) }
    }
    return bytes
  }
}
