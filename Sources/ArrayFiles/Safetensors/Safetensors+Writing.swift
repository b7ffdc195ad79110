import Basics
import Tensors

extension Safetensors {
  /// Writes a file whole or not at all: to a temporary name beside it, flushed to the disk, then renamed.
  ///
  /// Arrays keep their types; a name that is both a tensor and an array is written as the array.
  /// - Parameters:
  ///   - path: the file.
  ///   - type: the type of the tensors: F32 without loss, F16 or BF16 rounded to nearest.
  /// - Throws: `SafetensorsError` when the folder does not exist, is read-only, or the disk is full.
  /// - Precondition: `type` is one of F32, F16, BF16.
  public func write(to path: String, as type: SafetensorsType = .float32) throws(SafetensorsError) {
    precondition([.float32, .float16, .bfloat16].contains(type), "tensors as \(type.rawValue)")
    let types = names.map { name in (name, arrays[name].map { SafetensorsType($0.type) } ?? type) }
    let ordered = types.sorted { ($0.1.rank, $0.0) < ($1.1.rank, $1.0) }
    var entries: [SafetensorsHeader.Entry] = []
    var offset = 0
    for (name, type) in ordered {
      let shape = arrays[name]?.shape ?? tensors[name]?.shape ?? []
      let end = offset + shape.reduce(1, *) * type.byteCount
      entries.append(.init(name: name, code: type.rawValue, shape: shape, range: offset..<end))
      offset = end
    }
    let header = SafetensorsHeader(entries: entries, metadata: metadata).bytes
    do throws(AtomicFile.Failure) {
      try AtomicFile.write(to: path) { append in
        guard header.withUnsafeBytes(append) else { return false }
        for entry in entries {
          if let array = arrays[entry.name] {
            guard Safetensors.bytes(of: array).withUnsafeBytes(append) else { return false }
          } else if let tensor = tensors[entry.name]?.contiguous() {
            guard Safetensors.withBytes(of: tensor, as: type, append) else { return false }
          }
        }
        return true
      }
    } catch {
      throw SafetensorsError(path: error.path, problem: error.problem)
    }
  }

  /// Single precision is passed on as it lies in memory.
  private static func withBytes(
    of tensor: Tensor, as type: SafetensorsType, _ body: (UnsafeRawBufferPointer) -> Bool
  ) -> Bool {
    #if _endian(little)
      if type == .float32 {
        return body(UnsafeRawBufferPointer(start: tensor.pinned().pointer, count: 4 * tensor.count))
      }
    #endif
    return bytes(of: tensor, as: type).withUnsafeBytes(body)
  }

  private static func bytes(of tensor: Tensor, as type: SafetensorsType) -> [UInt8] {
    let count = tensor.count, width = type.byteCount
    return [UInt8](unsafeUninitializedCapacity: count * width) { buffer, used in
      let raw = UnsafeMutableRawBufferPointer(buffer)
      let view = tensor.pinned()
      for index in 0..<count {
        switch type {
        case .float16:
          raw.storeBytes(
            of: HalfPrecision.bits(view[index]).littleEndian, toByteOffset: 2 * index, as: UInt16.self)
        case .bfloat16:
          raw.storeBytes(
            of: BrainPrecision.bits(view[index]).littleEndian, toByteOffset: 2 * index, as: UInt16.self)
        default:
          raw.storeBytes(of: view[index].bitPattern.littleEndian, toByteOffset: 4 * index, as: UInt32.self)
        }
      }
      used = count * width
    }
  }

  private static func bytes(of array: NpyArray) -> [UInt8] {
    let width = array.type.byteCount
    func flatten(_ words: some Sequence<UInt64>) -> [UInt8] {
      var bytes: [UInt8] = []
      bytes.reserveCapacity(array.count * width)
      for word in words {
        for byte in 0..<width { bytes.append(UInt8(truncatingIfNeeded: word >> (8 * UInt64(byte)))) }
      }
      return bytes
    }
    return switch array.elements {
    case .float(let values) where array.type == .bfloat16:
      flatten(values.map { UInt64(BrainPrecision.bits($0)) })
    case .float(let values) where array.type == .float16:
      flatten(values.map { UInt64(HalfPrecision.bits($0)) })
    case .float(let values): flatten(values.map { UInt64($0.bitPattern) })
    case .double(let values): flatten(values.map(\.bitPattern))
    case .integer(let values): flatten(values.map { UInt64(bitPattern: $0) })
    }
  }
}
