import Basics
import CKernels

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// What choices follow from: which processor it is, which kernels run on it, and how large its caches are.
public struct ProcessorDescription: Hashable, Sendable, CustomStringConvertible {
  /// The name with family, model and stepping: under a hypervisor the name alone often says little.
  public var name: String
  /// The instruction set of the kernels.
  public var instructionSet: InstructionSet
  /// The sizes of its caches.
  public var caches: CacheSizes
  /// Query rows that the kernels compute side by side: the height of a strip of a tile.
  public var stripRows: Int

  /// Whether a multiply-add of 512 bits takes two cycles of its unit, as in Zen 4 (AMD family 25): then low tiles lose nothing by it.
  var halvesWideVectors: Bool {
    instructionSet == .avx512 && name.hasPrefix("AMD") && name.contains(", family 25,")
  }

  /// Whether it is one of Intel's.
  var isIntel: Bool { name.hasPrefix("Intel") }

  /// Describes a processor.
  /// - Parameters:
  ///   - name: with family, model and stepping.
  ///   - instructionSet: that of the kernels.
  ///   - caches: their sizes.
  ///   - stripRows: `nil`: that of the kernels of the instruction set here.
  public init(name: String, instructionSet: InstructionSet, caches: CacheSizes, stripRows: Int? = nil) {
    (self.name, self.instructionSet, self.caches) = (name, instructionSet, caches)
    self.stripRows = stripRows ?? Int(attn_strip_rows(instructionSet.code))
  }

  /// This processor with an instruction set.
  public static func here(_ set: InstructionSet = .default) -> ProcessorDescription {
    ProcessorDescription(name: ownName, instructionSet: set, caches: .here)
  }

  /// `AMD EPYC, family 26, model 2, stepping 1; avx512; caches of 48 KiB, 1 MiB, 32 MiB`.
  public var description: String {
    func size(_ bytes: Int?) -> String {
      bytes.map { Quantity.describe(bytes: Double($0)) } ?? "unknown size"
    }
    let caches = [caches.first, caches.second, caches.last].map(size).joined(separator: ", ")
    return "\(name); \(instructionSet); caches of \(caches)"
  }

  private static let ownName: String = {
    #if canImport(Darwin)
      var size = 0
      guard sysctlbyname("machdep.cpu.brand_string", nil, &size, nil, 0) == 0, size > 0 else {
        return "unknown"
      }
      var bytes = [UInt8](repeating: 0, count: size)
      guard sysctlbyname("machdep.cpu.brand_string", &bytes, &size, nil, 0) == 0 else { return "unknown" }
      return String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    #else
      return name(
        cpuinfo: (try? InputFile.start(of: "/proc/cpuinfo", limit: 1 << 14)).map {
          String(decoding: $0.bytes, as: UTF8.self)
        } ?? "")
    #endif
  }()

  /// The name that the first processor of `/proc/cpuinfo` has.
  static func name(cpuinfo text: String) -> String {
    var fields: [String: String] = [:]
    for line in text.split(separator: "\n").prefix(40) {
      let halves = line.split(separator: ":", maxSplits: 1)
      guard halves.count == 2 else { continue }
      let key = String(halves[0]).trimmed
      if fields[key] == nil { fields[key] = String(halves[1]).trimmed }
    }
    let rest = [("family", "cpu family"), ("model", "model"), ("stepping", "stepping")].compactMap {
      word, key in fields[key].map { "\(word) \($0)" }
    }
    // An arm64 processor has numbers in place of a name.
    let name = fields["model name"] ?? fields["CPU part"].map { "part \($0)" } ?? "unknown"
    return ([name] + rest).joined(separator: ", ")
  }
}
