import Basics
import Foundation
import Tensors

extension Safetensors {
  /// Reads a file.
  /// - Parameters:
  ///   - path: the file.
  ///   - ledger: where the bytes of the tensors are counted.
  /// - Throws: `SafetensorsError` that names the file, the tensor and what is wrong; `MemoryLimitExceeded`.
  /// - Complexity: O(file size); the file is mapped, not copied.
  public init(contentsOf path: String, ledger: MemoryLedger? = nil) throws {
    let data: Data
    do {
      try InputFile.requireRegular(path)
      data = try Data(contentsOf: URL(fileURLWithPath: path), options: .mappedIfSafe)
    } catch let error as InputFile.Failure {
      throw SafetensorsError(path: path, problem: error.problem)
    } catch {
      throw SafetensorsError(path: path, problem: "cannot be read: the system refuses")
    }
    try self.init(data: data, path: path, ledger: ledger)
  }

  /// Reads the bytes of a file.
  /// - Parameters:
  ///   - data: the bytes.
  ///   - path: the name for error texts.
  ///   - ledger: counts the tensors; `nil`: nothing counts them.
  /// - Throws: `SafetensorsError`, `MemoryLimitExceeded`.
  public init(data: Data, path: String, ledger: MemoryLedger? = nil) throws {
    let length = try SafetensorsHeader.length(data.prefix(8), fileSize: data.count, path: path)
    let start = data.startIndex + 8 + length
    let header = try SafetensorsHeader.parse(
      Array(data[data.startIndex + 8..<start]), dataSize: data.endIndex - start, path: path)
    self.init(metadata: header.metadata)
    try data.withUnsafeBytes { raw in
      for entry in header.entries {
        let bytes = UnsafeRawBufferPointer(
          rebasing: raw[(8 + length + entry.range.lowerBound)..<(8 + length + entry.range.upperBound)])
        if let array = Safetensors.array(entry, bytes) { arrays[entry.name] = array }
        if let tensor = try Safetensors.tensor(entry, bytes, ledger: ledger) { tensors[entry.name] = tensor }
        if tensors[entry.name] == nil, arrays[entry.name] == nil { unread[entry.name] = entry.code }
      }
    }
  }

  /// A real tensor in single precision.
  private static func tensor(
    _ entry: SafetensorsHeader.Entry, _ bytes: UnsafeRawBufferPointer, ledger: MemoryLedger?
  ) throws(MemoryLimitExceeded) -> Tensor? {
    let count = entry.count
    func fill(_ value: (Int) -> Float) throws(MemoryLimitExceeded) -> Tensor {
      var tensor = try Tensor(uninitialized: entry.shape, ledger: ledger)
      let view = tensor.pinnedForWriting()
      for index in 0..<count { view[index] = value(index) }
      return tensor
    }
    func word(_ index: Int) -> UInt16 {
      UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: 2 * index, as: UInt16.self))
    }
    switch entry.type {
    case .float32:
      #if _endian(little)
        var tensor = try Tensor(uninitialized: entry.shape, ledger: ledger)
        let view = tensor.pinnedForWriting()
        UnsafeMutableRawBufferPointer(start: view.pointer, count: 4 * count).copyMemory(from: bytes)
        return tensor
      #else
        return try fill { index in
          Float(
            bitPattern: UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 4 * index, as: UInt32.self)))
        }
      #endif
    case .float16: return try fill { HalfPrecision.float(word($0)) }
    case .bfloat16: return try fill { BrainPrecision.float(word($0)) }
    case .float64: return try fill { Float(double(bytes, $0)) }
    case nil, .int64, .uint64, .int32, .uint32, .int16, .uint16, .int8, .uint8, .bool: return nil
    }
  }

  /// What single precision cannot hold; `nil` also of whole numbers that 64 bits with a sign cannot hold.
  private static func array(
    _ entry: SafetensorsHeader.Entry, _ bytes: UnsafeRawBufferPointer
  ) -> NpyArray? {
    let count = entry.count
    func integers<Stored: FixedWidthInteger>(_ type: NpyElementType, of stored: Stored.Type) -> NpyArray {
      let width = MemoryLayout<Stored>.size
      let values = (0..<count).map {
        Int64(
          clamping: Stored(littleEndian: bytes.loadUnaligned(fromByteOffset: width * $0, as: Stored.self)))
      }
      return NpyArray(type: type, shape: entry.shape, elements: .integer(values))
    }
    switch entry.type {
    case nil, .float32, .float16, .bfloat16: return nil
    case .float64: return NpyArray((0..<count).map { double(bytes, $0) }, shape: entry.shape)
    case .int64: return integers(.int64, of: Int64.self)
    case .int32: return integers(.int32, of: Int32.self)
    case .uint32: return integers(.uint32, of: UInt32.self)
    case .int16: return integers(.int16, of: Int16.self)
    case .uint16: return integers(.uint16, of: UInt16.self)
    case .int8: return integers(.int8, of: Int8.self)
    case .uint8: return integers(.uint8, of: UInt8.self)
    case .bool: return NpyArray(bytes.map { $0 == 0 ? 0 : 1 }, shape: entry.shape, as: .bool)
    case .uint64:
      guard !(0..<count).contains(where: { bytes[8 * $0 + 7] > 0x7F }) else { return nil }
      return integers(.uint64, of: UInt64.self)
    }
  }

  private static func double(_ bytes: UnsafeRawBufferPointer, _ index: Int) -> Double {
    Double(bitPattern: UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: 8 * index, as: UInt64.self)))
  }
}
