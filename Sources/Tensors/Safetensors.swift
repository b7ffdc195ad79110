import Foundation

/// Named tensors in a file: the safetensors format.
///
/// Layout: 8 bytes little-endian header length, a JSON header `{"name": {"dtype", "shape", "data_offsets"}}` with an
/// optional `__metadata__` of strings, then the bytes. Reads F32, F64, F16, BF16, I64, I32 and U8, all as float32;
/// writes F32. Source: Hugging Face, "Safetensors format".
public struct Safetensors: Sendable {
  /// The tensors by name.
  public var tensors: [String: Tensor]
  /// Free text by key.
  public var metadata: [String: String]

  /// Creates a set.
  public init(tensors: [String: Tensor] = [:], metadata: [String: String] = [:]) {
    self.tensors = tensors
    self.metadata = metadata
  }

  /// Reads a file.
  /// - Throws: `SafetensorsError` that names the file, the tensor and what is wrong.
  /// - Complexity: O(file size).
  public init(contentsOf path: String) throws {
    let data: Data
    do { data = try Data(contentsOf: URL(fileURLWithPath: path), options: .mappedIfSafe) } catch {
      throw SafetensorsError(path: path, problem: "the file cannot be read")
    }
    guard data.count >= 8 else {
      throw SafetensorsError(path: path, problem: "\(data.count) bytes; at least 8 expected")
    }
    let headerLength = data.prefix(8).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    guard headerLength <= UInt64(data.count - 8), headerLength <= 100_000_000 else {
      throw SafetensorsError(
        path: path, problem: "a header of \(headerLength) bytes in a file of \(data.count)")
    }
    let bodyStart = data.startIndex + 8 + Int(headerLength)
    let header: [String: HeaderEntry]
    do {
      header = try JSONDecoder().decode(
        [String: HeaderEntry].self, from: data[data.startIndex + 8..<bodyStart])
    } catch { throw SafetensorsError(path: path, problem: "the header is no safetensors header") }
    tensors = [:]
    metadata = [:]
    for (name, entry) in header {
      switch entry {
      case .metadata(let text): metadata = text
      case .tensor(let description):
        tensors[name] = try description.read(
          name: name, from: data, bodyStart: bodyStart, path: path)
      }
    }
  }

  /// Writes a file whole or not at all: a temporary neighbour is written, flushed and renamed.
  /// - Throws: `SafetensorsError`.
  /// - Complexity: O(total elements).
  public func write(to path: String) throws {
    var header: [String: HeaderEntry] = metadata.isEmpty ? [:] : ["__metadata__": .metadata(metadata)]
    let names = tensors.keys.sorted()
    var offset = 0
    for name in names {
      guard let tensor = tensors[name] else { continue }
      header[name] = .tensor(
        TensorDescription(dtype: "F32", shape: tensor.shape, offsets: [offset, offset + 4 * tensor.count]))
      offset += 4 * tensor.count
    }
    let encoder = JSONEncoder()
    encoder.outputFormatting = .sortedKeys
    guard var text = try? encoder.encode(header) else {
      throw SafetensorsError(path: path, problem: "the header cannot be encoded")
    }
    text.append(contentsOf: [UInt8](repeating: 0x20, count: (8 - text.count % 8) % 8))
    var prefix = Data()
    for shift in stride(from: 0, to: 64, by: 8) {
      prefix.append(UInt8(truncatingIfNeeded: text.count >> shift))
    }
    let temporary = path + ".\(ProcessInfo.processInfo.processIdentifier).partial"
    guard FileManager.default.createFile(atPath: temporary, contents: prefix + text),
      let handle = FileHandle(forWritingAtPath: temporary)
    else { throw SafetensorsError(path: path, problem: "the file cannot be written") }
    do {
      try handle.seekToEnd()
      for name in names {
        guard let tensor = tensors[name]?.contiguous() else { continue }
        try tensor.withUnsafePointer { pointer in
          try handle.write(contentsOf: Data(bytes: pointer, count: 4 * tensor.count))
        }
      }
      try handle.synchronize()
      try handle.close()
      guard rename(temporary, path) == 0 else {
        throw SafetensorsError(path: path, problem: "the file cannot be renamed")
      }
    } catch {
      try? FileManager.default.removeItem(atPath: temporary)
      throw SafetensorsError(path: path, problem: "the file cannot be written")
    }
  }

  /// The tensor of a name, of an expected shape.
  /// - Throws: `SafetensorsError` that names both.
  public func tensor(_ name: String, shape: [Int], path: String) throws -> Tensor {
    guard let tensor = tensors[name] else {
      let hint = tensors.count <= 12 ? "; it has \(tensors.keys.sorted().joined(separator: ", "))" : ""
      throw SafetensorsError(path: path, problem: "no tensor \(name)\(hint)")
    }
    guard tensor.shape == shape else {
      throw SafetensorsError(path: path, problem: "\(name) has shape \(tensor.shape); \(shape) expected")
    }
    return tensor
  }
}

/// A safetensors file that cannot be read, written or used.
public struct SafetensorsError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The file.
  public let path: String
  /// What is wrong.
  public let problem: String
  /// Creates the error.
  public init(path: String, problem: String) {
    self.path = path
    self.problem = problem
  }
  /// One line.
  public var description: String { "\(path): \(problem)" }
}

private enum HeaderEntry: Codable {
  case metadata([String: String])
  case tensor(TensorDescription)

  init(from decoder: any Decoder) throws {
    if let tensor = try? TensorDescription(from: decoder) {
      self = .tensor(tensor)
    } else {
      self = .metadata(try [String: String](from: decoder))
    }
  }

  func encode(to encoder: any Encoder) throws {
    switch self {
    case .metadata(let text): try text.encode(to: encoder)
    case .tensor(let description): try description.encode(to: encoder)
    }
  }
}

private struct TensorDescription: Codable {
  let dtype: String
  let shape: [Int]
  let offsets: [Int]

  enum CodingKeys: String, CodingKey {
    case dtype, shape
    case offsets = "data_offsets"
  }

  func read(name: String, from data: Data, bodyStart: Int, path: String) throws -> Tensor {
    let widths = ["F32": 4, "F64": 8, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "U8": 1, "BOOL": 1]
    guard let width = widths[dtype] else {
      throw SafetensorsError(
        path: path, problem: "\(name) has type \(dtype); F32, F64, F16, BF16, I64, I32, U8 expected")
    }
    guard shape.allSatisfy({ $0 >= 0 }), offsets.count == 2, offsets[0] >= 0, offsets[1] >= offsets[0],
      offsets[1] <= data.endIndex - bodyStart,
      shape.reduce(
        Optional(1),
        { total, extent in
          total.flatMap {
            let (product, overflow) = $0.multipliedReportingOverflow(by: extent);
            return overflow ? nil : product
          }
        }
      ).map({ $0.multipliedReportingOverflow(by: width) == (offsets[1] - offsets[0], false) }) == true
    else {
      throw SafetensorsError(path: path, problem: "\(name): shape \(shape) does not match offsets \(offsets)")
    }
    let bytes = data[bodyStart + offsets[0]..<bodyStart + offsets[1]]
    let count = shape.reduce(1, *)
    let values: [Float] = bytes.withUnsafeBytes { raw in
      (0..<count).map { index in
        switch dtype {
        case "F32": return raw.loadUnaligned(fromByteOffset: 4 * index, as: Float.self)
        case "F64": return Float(raw.loadUnaligned(fromByteOffset: 8 * index, as: Double.self))
        case "F16": return halfToFloat(raw.loadUnaligned(fromByteOffset: 2 * index, as: UInt16.self))
        case "BF16":
          return Float(
            bitPattern: UInt32(raw.loadUnaligned(fromByteOffset: 2 * index, as: UInt16.self)) << 16)
        case "I64": return Float(raw.loadUnaligned(fromByteOffset: 8 * index, as: Int64.self))
        case "I32": return Float(raw.loadUnaligned(fromByteOffset: 4 * index, as: Int32.self))
        default: return Float(raw[index])
        }
      }
    }
    return try Tensor(values, shape: shape)
  }
}

/// IEEE binary16 to binary32, exactly, without hardware support.
func halfToFloat(_ bits: UInt16) -> Float {
  let sign = UInt32(bits & 0x8000) << 16, exponent = UInt32(bits >> 10) & 31, fraction = UInt32(bits & 1023)
  switch exponent {
  case 0: return Float(bitPattern: sign) + (sign == 0 ? 1 : -1) * Float(fraction) * 0x1p-24
  case 31: return Float(bitPattern: sign | 0x7f80_0000 | fraction << 13)
  default: return Float(bitPattern: sign | (exponent + 112) << 23 | fraction << 13)
  }
}
