import Testing

@testable import Records

/// Event files of TensorBoard, byte by byte.
@Suite struct EventRecordTests {
  @Test(
    "checksums are those of RFC 3720, appendix B.4, and of the customary text",
    arguments: [
      ([UInt8](repeating: 0, count: 32), 0x8A91_36AA), ([UInt8](repeating: 0xFF, count: 32), 0x62A8_AB43),
      ((0..<32).map { UInt8($0) }, 0x46DD_794E), ((0..<32).reversed().map { UInt8($0) }, 0x113F_DB5C),
      (Array("123456789".utf8), 0xE306_9283), ([], 0),
    ] as [([UInt8], UInt32)])
  func checksums(_ bytes: [UInt8], _ sum: UInt32) {
    #expect(CRC32C.of(bytes) == sum)
    #expect(CRC32C.masked(bytes) == (sum >> 15 | sum << 17) &+ 0xA282_EAD8)
  }

  private static func hex(_ bytes: [UInt8]) -> String {
    bytes.map { byte in (byte < 16 ? "0" : "") + String(byte, radix: 16) }.joined()
  }

  /// What `tensorboard.compat.proto.event_pb2` and `tensorboard.summary.writer.record_writer.RecordWriter` of TensorBoard
  /// 2.21.0 write for the same values.
  @Test("events are those of TensorBoard's own writer")
  func events() {
    #expect(
      Self.hex(EventRecord.beginning(wallTime: 1_700_000_000.5))
        == "1800000000000000a37f4b220900002040fc54d9411a0d627261696e2e4576656e743a322b353110")
    let event = EventRecord(
      wallTime: 1_700_000_001.25, step: 300,
      scalars: [("train/loss", 0.1), ("train/gradient_norm", 1e-30), ("Genauigkeit µ", -2)])
    #expect(
      Self.hex(event.bytes)
        == "54000000000000005f5145870900005040fc54d94110ac022a460a110a0a747261696e2f6c6f737315cdcccc3d0a1a0a13747261"
        + "696e2f6772616469656e745f6e6f726d156042a20d0a150a0e47656e617569676b65697420c2b515000000c0dd35f7f5")
    #expect(
      Self.hex(EventRecord(wallTime: 2, step: 1 << 40, scalars: []).bytes)
        == "1200000000000000241f6425090000000000000040108080808080202a00ce4c81e3")
  }
}
