import Basics

/// The header of a safetensors file, checked: types known, shapes and offsets consistent, no name twice, no byte of the
/// data shared, none left over.
struct SafetensorsHeader: Equatable {
  /// Where a tensor lies.
  struct Entry: Equatable {
    let name: String
    /// The type as the file spells it.
    let code: String
    let shape: [Int]
    /// Byte offsets from the start of the data.
    let range: Range<Int>

    var count: Int { shape.reduce(1, *) }
    /// The type; `nil`: one that is not read here. Such a tensor is passed over until it is asked for.
    var type: SafetensorsType? { SafetensorsType(rawValue: code) }
  }

  /// In the order of their offsets.
  let entries: [Entry]
  let metadata: [String: String]

  /// The longest header that is read: that of the reference implementation.
  static let maximumLength = 100_000_000

  /// Checks the first eight bytes.
  /// - Returns: the length of the JSON text.
  static func length(_ prefix: some Sequence<UInt8>, fileSize: Int, path: String) throws(SafetensorsError)
    -> Int
  {
    guard fileSize >= 8 else {
      throw SafetensorsError(
        path: path, problem: "no safetensors file: \(fileSize) bytes, at least 8 expected")
    }
    let length = prefix.prefix(8).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    guard length <= UInt64(maximumLength) else {
      throw SafetensorsError(
        path: path,
        problem: "no safetensors file: a header of \(length) bytes, at most \(maximumLength) allowed")
    }
    guard length <= UInt64(fileSize - 8) else {
      throw SafetensorsError(
        path: path, problem: "truncated: a header of \(length) bytes in a file of \(fileSize) bytes")
    }
    return Int(length)
  }

  /// Parses and checks the JSON text.
  static func parse(_ json: [UInt8], dataSize: Int, path: String) throws(SafetensorsError)
    -> SafetensorsHeader
  {
    func fail(_ problem: String) -> SafetensorsError { SafetensorsError(path: path, problem: problem) }
    let root: JSONValue
    do throws(JSONError) { root = try JSONValue(parsing: json) } catch {
      throw fail("the header is \(error)")
    }
    guard case .object(let members) = root else { throw fail("the header is no JSON object") }
    var entries: [Entry] = []
    var metadata: [String: String] = [:]
    for member in members {
      guard member.key == "__metadata__" else {
        entries.append(try entry(member.key, member.value, path: path))
        continue
      }
      // Some programs write what they do not know as null.
      if member.value == .null { continue }
      guard case .object(let texts) = member.value else { throw fail("__metadata__ is no object of strings") }
      for text in texts where text.value != .null {
        guard let value = text.value.stringValue else { throw fail("__metadata__: \(text.key) is no string") }
        metadata[text.key] = value
      }
    }
    entries.sort { ($0.range.lowerBound, $0.range.upperBound) < ($1.range.lowerBound, $1.range.upperBound) }
    var end = 0, previous = "the start"
    for entry in entries {
      guard entry.range.upperBound <= dataSize else {
        throw fail(
          "\(entry.name) ends at byte \(entry.range.upperBound) of \(dataSize) bytes of data: the file is truncated"
        )
      }
      guard entry.range.lowerBound >= end else { throw fail("\(entry.name) overlaps \(previous)") }
      guard entry.range.lowerBound == end else {
        throw fail(
          "\(entry.range.lowerBound - end) bytes between \(previous) and \(entry.name) belong to no tensor")
      }
      (end, previous) = (entry.range.upperBound, entry.name)
    }
    guard end == dataSize else {
      throw fail("\(dataSize - end) bytes after the last tensor belong to no tensor")
    }
    return SafetensorsHeader(entries: entries, metadata: metadata)
  }

  private static func entry(_ name: String, _ value: JSONValue, path: String) throws(SafetensorsError)
    -> Entry
  {
    func fail(_ problem: String) -> SafetensorsError {
      SafetensorsError(path: path, problem: "\(name): \(problem)")
    }
    guard case .object = value else { throw fail("dtype, shape and data_offsets expected") }
    guard let code = value["dtype"].stringValue else { throw fail("no dtype") }
    guard let shape = extents(value["shape"]) else { throw fail("shape is no list of whole numbers") }
    guard let offsets = extents(value["data_offsets"]), offsets.count == 2, offsets[0] <= offsets[1]
    else {
      throw fail("data_offsets are no pair of rising whole numbers")
    }
    let entry = Entry(name: name, code: code, shape: shape, range: offsets[0]..<offsets[1])
    // How long a tensor of an unknown type is, only its offsets say.
    guard let type = entry.type else { return entry }
    var bytes: Int? = type.byteCount
    for extent in shape {
      bytes = bytes.flatMap { product in
        let (next, overflow) = product.multipliedReportingOverflow(by: extent)
        return overflow ? nil : next
      }
    }
    guard let bytes, bytes == entry.range.count else {
      throw fail(
        "\(code) \(shape) takes \(bytes.map { "\($0)" } ?? "too many") bytes, its offsets \(offsets) span "
          + "\(entry.range.count)")
    }
    return entry
  }

  /// The numbers of a list of whole numbers of at least 0; `nil` of anything else.
  private static func extents(_ value: JSONValue) -> [Int]? {
    guard case .array(let items) = value else { return nil }
    var numbers: [Int] = []
    for item in items {
      // 2.0 is no extent: the reference implementation refuses it too.
      guard case .int(let number) = item, number >= 0 else { return nil }
      numbers.append(number)
    }
    return numbers
  }

  /// The eight bytes of length and the JSON text, padded with spaces so that the data starts at a multiple of 8.
  var bytes: [UInt8] {
    var members: [String] = []
    if !metadata.isEmpty {
      let texts = metadata.sorted { $0.key < $1.key }.map {
        JSONValue.quote($0.key) + ":" + JSONValue.quote($0.value)
      }
      members.append("\"__metadata__\":{" + texts.joined(separator: ",") + "}")
    }
    for entry in entries {
      members.append(
        JSONValue.quote(entry.name) + ":{\"dtype\":\"\(entry.code)\",\"shape\":["
          + entry.shape.map(String.init).joined(separator: ",")
          + "],\"data_offsets\":[\(entry.range.lowerBound),\(entry.range.upperBound)]}")
    }
    var text = Array(("{" + members.joined(separator: ",") + "}").utf8)
    text += [UInt8](repeating: 0x20, count: (8 - text.count % 8) % 8)
    return (0..<8).map { UInt8(truncatingIfNeeded: text.count >> (8 * $0)) } + text
  }
}
