import Basics
import Foundation
import Testing

@testable import Processor

/// What follows from a processor, what a file keeps, and what the environment forces.
@Suite struct ProcessorChoicesTests {
  static let zen4 = ProcessorDescription(
    name: "AMD EPYC, family 25, model 17, stepping 1", instructionSet: .avx2,
    caches: CacheSizes(first: 32 << 10, second: 1 << 20, last: 32 << 20), stripRows: 16)
  static let zen4Wide = ProcessorDescription(
    name: "AMD EPYC, family 25, model 17, stepping 1", instructionSet: .avx512,
    caches: CacheSizes(first: 32 << 10, second: 1 << 20, last: 32 << 20), stripRows: 64)
  static let zen5 = ProcessorDescription(
    name: "AMD EPYC, family 26, model 2, stepping 1", instructionSet: .avx512,
    caches: CacheSizes(first: 48 << 10, second: 1 << 20, last: 32 << 20), stripRows: 64)
  static let emeraldRapids = ProcessorDescription(
    name: "Intel(R) Xeon(R) Processor, family 6, model 207, stepping 2", instructionSet: .avx512,
    caches: CacheSizes(first: 48 << 10, second: 2 << 20, last: 260 << 20), stripRows: 64)
  static let small = ProcessorDescription(
    name: "small", instructionSet: .portable,
    caches: CacheSizes(first: 16 << 10, second: 256 << 10, last: 4 << 20), stripRows: 8)

  struct Expected: Sendable {
    var processor: ProcessorDescription
    var kvBlockBytes: Int, localKeys: Int, bandRows: Int, nearBlockBytes: Int, productDepth: Int
    var bandBackwardRows = 64
    var placeDistances = 1 << 18
    var farBytes = 0
  }

  @Test(
    "choices follow from caches and strips",
    arguments: [
      Expected(
        processor: zen4, kvBlockBytes: 256 << 10, localKeys: 1024, bandRows: 64, nearBlockBytes: 16 << 10,
        productDepth: 512, placeDistances: 1 << 15),
      Expected(
        processor: zen4Wide, kvBlockBytes: 256 << 10, localKeys: 1024, bandRows: 16,
        nearBlockBytes: 16 << 10, productDepth: 512, bandBackwardRows: 16),
      Expected(
        processor: zen5, kvBlockBytes: 256 << 10, localKeys: 1024, bandRows: 32, nearBlockBytes: 16 << 10,
        productDepth: 512),
      Expected(
        processor: emeraldRapids, kvBlockBytes: 512 << 10, localKeys: 2048, bandRows: 32,
        nearBlockBytes: 16 << 10, productDepth: 512, placeDistances: 1 << 16, farBytes: 16 << 20),
      Expected(
        processor: small, kvBlockBytes: 64 << 10, localKeys: 512, bandRows: 64, nearBlockBytes: 8 << 10,
        productDepth: 128, placeDistances: 1 << 15),
    ])
  func derived(expected: Expected) {
    let choices = ProcessorChoices(derivedFor: expected.processor)
    #expect(choices.kvBlockBytes == expected.kvBlockBytes)
    #expect(choices.localKeys == expected.localKeys)
    #expect(choices.bandRows == expected.bandRows && choices.bandBackwardRows == expected.bandBackwardRows)
    #expect(choices.nearBlockBytes == expected.nearBlockBytes)
    #expect(choices.productDepth == expected.productDepth)
    #expect(choices.placeDistances == expected.placeDistances)
    #expect(choices.farBytes == expected.farBytes)
    for choice in ProcessorChoice.all {
      #expect(choice.problem(with: choices[choice]) == nil)
      #expect(choice.derived(expected.processor).reason != "" && choice.equation != "")
    }
  }

  @Test("where nothing is known, everything is assumed, and each choice is declared once")
  func unknown() {
    let unknown = ProcessorDescription(
      name: "unknown", instructionSet: .avx512, caches: CacheSizes(), stripRows: 64)
    #expect(ProcessorChoices(derivedFor: unknown) == .assumed)
    #expect(Set(ProcessorChoice.all.map(\.name)).count == ProcessorChoice.all.count)
    var moved = ProcessorChoices.assumed
    for choice in ProcessorChoice.all { moved[choice] = choice.allowed.upperBound }
    // A choice that reads or writes another one's field would leave some field as it was.
    for choice in ProcessorChoice.all {
      #expect(moved[choice] == choice.allowed.upperBound, "\(choice.name)")
    }
  }

  @Test("the strips of the kernels are those that the equations speak of")
  func strips() {
    for set in InstructionSet.available {
      let rows = ProcessorDescription.here(set).stripRows
      #expect([4, 8, 16, 32, 64].contains(rows))
      if set == .avx512 { #expect(rows == 64) }
      if set == .avx2 { #expect(rows == 16) }
    }
  }

  @Test("a processor's name has its numbers, since hypervisors hide the name")
  func name() {
    let amd = "processor\t: 0\ncpu family\t: 26\nmodel\t\t: 2\nmodel name\t: AMD EPYC\nstepping\t: 1\n"
    #expect(ProcessorDescription.name(cpuinfo: amd) == Self.zen5.name)
    #expect(ProcessorDescription.name(cpuinfo: "CPU part\t: 0xd0c\n") == "part 0xd0c")
    #expect(ProcessorDescription.name(cpuinfo: "") == "unknown")
  }

  @Test("the environment sets values over what is derived or kept")
  func environment() throws {
    let choices = try ProcessorChoices(parsing: "split_keys=4096, warms_keys=0", on: Self.zen4)
    #expect(choices.splitKeys == 4096 && choices.warmsKeys == 0 && choices.bandRows == 64)
    #expect(try ProcessorChoices(parsing: "assumed", on: Self.zen4) == .assumed)
    let again = try ProcessorChoices(parsing: "assumed," + choices.text, on: Self.emeraldRapids)
    #expect(again == choices)
    let road = try ProcessorChoices(parsing: "bfloat16_road=upconvert", on: Self.zen5)
    #expect(road.bfloat16Road == .upconvert && road.text.hasSuffix("bfloat16_road=upconvert"))
  }

  @Test(
    "what the environment cannot mean is one line",
    arguments: [
      ("split_key=4096", "split_key is no choice (did you mean split_keys?); attnlab doctor lists them"),
      ("split_keys=many", "split_keys=many: it takes a whole number"),
      ("split_keys=0", "split_keys: 0; it takes 2048 … 1048576 keys, multiples of 1024"),
      ("kv_block_bytes=40000", "kv_block_bytes: 40000; it takes 32768 … 4194304 bytes, multiples of 4096"),
      ("bfloat16_road=fast", "bfloat16_road=fast: it takes products or upconvert"),
      ("tuned", "tuned: it takes name=value, or first assumed or derived"),
    ])
  func refused(text: String, line: String) {
    #expect(throws: UsageError(line)) { try ProcessorChoices(parsing: text, on: Self.zen5) }
  }

  @Test("bits differ only by choices that say so")
  func bits() {
    for choice in ProcessorChoice.all {
      var other = ProcessorChoices.assumed
      other[choice] =
        choice.allowed.lowerBound == other[choice] ? choice.allowed.upperBound : choice.allowed.lowerBound
      #expect(
        (other.textOfBits != ProcessorChoices.assumed.textOfBits) == choice.changesBits, "\(choice.name)")
      #expect((other.bitsHash != ProcessorChoices.assumed.bitsHash) == choice.changesBits, "\(choice.name)")
    }
  }

  // MARK: - The file

  private func scratch() -> String {
    NSTemporaryDirectory() + "attnlab-choices-\(UUID().uuidString)/a/processor.json"
  }

  @Test("a file keeps what was tuned, by processor, and gives it back")
  func roundTrip() throws {
    let path = scratch()
    defer { try? FileManager.default.removeItem(atPath: path + "/../..") }
    #expect(try ChoiceFile.read(path, for: Self.zen5) == nil)
    var tuned = ProcessorChoices(derivedFor: Self.zen5), other = ProcessorChoices(derivedFor: Self.zen4)
    (tuned.splitKeys, tuned.bfloat16Road, other.productRows) = (8192, .products, 192)
    try ChoiceFile.write(tuned, for: Self.zen5, to: path, at: "2026-11-30T01:00:00.000Z")
    try ChoiceFile.write(other, for: Self.zen4, to: path)
    #expect(try ChoiceFile.read(path, for: Self.zen5) == tuned)
    #expect(try ChoiceFile.read(path, for: Self.zen4) == other)
    #expect(ChoiceFile.time(path, for: Self.zen5) == "2026-11-30T01:00:00.000Z")
    tuned.splitKeys = 2048
    try ChoiceFile.write(tuned, for: Self.zen5, to: path)
    #expect(try ChoiceFile.read(path, for: Self.zen5) == tuned)
    #expect(try ChoiceFile.read(path, for: Self.zen4) == other)

    let resolved = ProcessorChoices.Resolved(Self.zen5, environment: nil, file: path)
    #expect(resolved.choices == tuned && resolved.source == .file(path) && resolved.warning == nil)
    #expect(resolved.source.description.contains(path) && resolved.source.recorded == "tuned here")
    let forced = ProcessorChoices.Resolved(Self.zen5, environment: "product_rows=48", file: path)
    #expect(forced.choices.productRows == 48 && forced.choices.bfloat16Road == .products)
    #expect(forced.source == .environment)
    let derived = ProcessorChoices.Resolved(Self.zen5, environment: "derived", file: path)
    #expect(derived.choices == ProcessorChoices(derivedFor: Self.zen5))
  }

  @Test("a file of another processor is not used, and says so in one line")
  func otherProcessor() throws {
    let path = scratch()
    defer { try? FileManager.default.removeItem(atPath: path + "/../..") }
    try ChoiceFile.write(.assumed, for: Self.zen4, to: path)
    var avx2 = Self.zen5
    avx2.instructionSet = .avx2
    for processor in [Self.zen5, Self.emeraldRapids, avx2] {
      let resolved = ProcessorChoices.Resolved(processor, environment: nil, file: path)
      #expect(resolved.choices == ProcessorChoices(derivedFor: processor) && resolved.source == .derived)
      let warning = try #require(resolved.warning)
      #expect(warning.contains("it has choices of another processor, not of this one (\(processor))"))
      #expect(!warning.contains("\n"))
    }
  }

  @Test(
    "a file that is none is not used, and says so in one line",
    arguments: [
      ("", "it is no JSON"), ("{", "it is no JSON"), ("[1]", "it is no file of choices"),
      (#"{"version": 1}"#, "it is no file of choices"),
      (#"{"version": 2, "processors": [{}]}"#, "it has version 2, this program reads version 1"),
    ])
  func corrupt(text: String, reason: String) throws {
    let path = scratch()
    defer { try? FileManager.default.removeItem(atPath: path + "/../..") }
    try Folder.create(of: path)
    try AtomicFile.write(Array(text.utf8), to: path)
    let resolved = ProcessorChoices.Resolved(Self.zen5, environment: nil, file: path)
    #expect(resolved.choices == ProcessorChoices(derivedFor: Self.zen5) && resolved.source == .derived)
    let warning = try #require(resolved.warning)
    #expect(
      warning.hasPrefix(path + ": " + reason) && warning.contains("it is not used; remove it"), "\(warning)")
    // Nor is it overwritten: it may be somebody's.
    #expect(throws: UsageError.self) { try ChoiceFile.write(.assumed, for: Self.zen5, to: path) }
    #expect(try InputFile.text(path) == text)
  }

  @Test("a value that is not allowed, or a name from a later program, makes the file unused")
  func wrongValues() throws {
    let path = scratch()
    defer { try? FileManager.default.removeItem(atPath: path + "/../..") }
    try ChoiceFile.write(.assumed, for: Self.zen5, to: path)
    let whole = try InputFile.text(path)
    for (old, new, reason) in [
      ("\"split_keys\": 2048", "\"split_keys\": 12", "split_keys: 12; it takes"),
      ("\"split_keys\"", "\"split_kisses\"", "split_kisses is no choice"),
      ("\"split_keys\": 2048", "\"split_keys\": null", "split_keys=?: it takes a whole number"),
    ] {
      #expect(whole.contains(old))
      try AtomicFile.write(Array(whole.replacingOccurrences(of: old, with: new).utf8), to: path)
      let resolved = ProcessorChoices.Resolved(Self.zen5, environment: nil, file: path)
      #expect(resolved.choices == ProcessorChoices(derivedFor: Self.zen5))
      #expect(resolved.warning?.contains(reason) == true, "\(resolved.warning ?? "")")
    }
  }

  @Test("the file lies where the configuration of programs lies")
  func place() {
    #expect(ChoiceFile.path(configuration: "/c", home: "/h") == "/c/attnlab/processor.json")
    #expect(ChoiceFile.path(configuration: nil, home: "/h") == "/h/.config/attnlab/processor.json")
    #expect(ChoiceFile.path(configuration: "relative", home: "/h") == "/h/.config/attnlab/processor.json")
    #expect(ChoiceFile.path(configuration: nil, home: nil) == nil)
  }

  @Test("what was tuned says how bfloat16 is multiplied, and no rate is measured")
  func tunedRoad() {
    for road in BFloat16Road.allCases {
      let choice = BFloat16Choice(hasProducts: true, tuned: road) {
        Issue.record("measured")
        return .init(products: 1, float32: 1)
      }
      #expect(choice.road == road && choice.reason.contains("tuned"))
    }
    let forced = BFloat16Choice(hasProducts: true, forced: .products, tuned: .upconvert) {
      .init(products: 1, float32: 1)
    }
    #expect(forced.road == .products)
  }

  @Test("multiply-adds alone over windows: as many rates as windows, of which the median is one")
  func sustained() {
    let found = SustainedRate.measure(.portable, windows: 3, seconds: 0.002)
    #expect(found.rates.count == 3 && found.rates.allSatisfy { $0 > 1e6 && $0 < 1e13 })
    #expect(found.rates.contains(found.median))
    #expect(SustainedRate.measure(.portable, windows: 0).median == 0)
  }
}
