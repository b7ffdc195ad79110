/// One event of TensorBoard: some scalars of a step.
///
/// An event file is a sequence of TFRecords, each the length of its data as eight bytes, the masked CRC-32C of these eight,
/// the data, and the masked CRC-32C of the data, all little-endian. The data is a protocol buffer of type `Event`:
/// `wall_time` (field 1, double), `step` (2, varint), `file_version` (3, string, in the first event alone) and `summary`
/// (5), a list of values (field 1), each with a `tag` (1, string) and a `simple_value` (2, float).
/// Source: `tensorflow/core/util/event.proto`, `tensorflow/core/framework/summary.proto`, `tensorflow/core/lib/io/record_writer.cc`.
public struct EventRecord: Sendable {
  /// A number with the name of its chart.
  public typealias Scalar = (tag: String, value: Double)

  /// Seconds since 1970.
  public let wallTime: Double
  /// The step.
  public let step: Int
  /// Its numbers, rounded to float32.
  public let scalars: [Scalar]

  /// Creates an event.
  public init(wallTime: Double, step: Int, scalars: [Scalar]) {
    (self.wallTime, self.step, self.scalars) = (wallTime, step, scalars)
  }

  /// The record that begins a file.
  /// - Parameter wallTime: seconds since 1970.
  /// - Returns: the bytes of one TFRecord.
  public static func beginning(wallTime: Double) -> [UInt8] {
    framed(field(1, wallTime) + field(3, Array("brain.Event:2".utf8)))
  }

  /// The record of this event.
  public var bytes: [UInt8] {
    let values = scalars.flatMap { scalar in
      Self.field(1, Self.field(1, Array(scalar.tag.utf8)) + Self.field(2, Float(scalar.value)))
    }
    // A varint has the two's complement of what is below zero; steps are not.
    let step = Self.key(2, .varint) + Self.varint(UInt64(bitPattern: Int64(step)))
    return Self.framed(Self.field(1, wallTime) + step + Self.field(5, values))
  }

  /// Data in the frame of a TFRecord.
  static func framed(_ data: [UInt8]) -> [UInt8] {
    let length = littleEndian(UInt64(data.count))
    return length + littleEndian(CRC32C.masked(length)) + data + littleEndian(CRC32C.masked(data))
  }

  /// How a field of a protocol buffer is stored.
  private enum WireType: UInt64 {
    case varint = 0
    case eightBytes = 1
    case counted = 2
    case fourBytes = 5
  }

  private static func key(_ field: UInt64, _ type: WireType) -> [UInt8] { varint(field << 3 | type.rawValue) }

  private static func field(_ number: UInt64, _ bytes: [UInt8]) -> [UInt8] {
    key(number, .counted) + varint(UInt64(bytes.count)) + bytes
  }

  private static func field(_ number: UInt64, _ value: Double) -> [UInt8] {
    key(number, .eightBytes) + littleEndian(value.bitPattern)
  }

  private static func field(_ number: UInt64, _ value: Float) -> [UInt8] {
    key(number, .fourBytes) + littleEndian(value.bitPattern)
  }

  /// Seven bits a byte, the lowest first; the eighth says that more follow.
  private static func varint(_ value: UInt64) -> [UInt8] {
    var bytes: [UInt8] = [], rest = value
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    return bytes + [UInt8(rest)]
  }

  private static func littleEndian(_ value: some FixedWidthInteger) -> [UInt8] {
    (0..<value.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
  }
}
