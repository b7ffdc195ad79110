import CKernels

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// The instruction sets for which the register tiles are compiled.
public enum InstructionSet: String, CaseIterable, Hashable, Sendable, CustomStringConvertible {
  /// 512-bit vectors: AVX-512 F, BW, DQ, VL and FMA.
  case avx512
  /// 256-bit vectors: AVX2 and FMA.
  case avx2
  /// Compiler vectors of 128 bits; also the arm64 code.
  case portable

  /// The name that `ATTNLAB_ISA` and the CSV use.
  public var description: String { rawValue }

  /// Those that this processor can run, best first.
  public static let available: [InstructionSet] = allCases.filter { attn_isa_supported($0.code) != 0 }

  /// The best available, or the one named by the environment variable `ATTNLAB_ISA` when that is available.
  /// A name that is unknown or not available is reported by `environmentProblem`.
  public static let `default`: InstructionSet = {
    if let forced, available.contains(forced) { return forced }
    return available.first ?? .portable
  }()

  /// One line when `ATTNLAB_ISA` cannot be honoured, else `nil`; the program refuses to start on it.
  public static var environmentProblem: String? {
    guard let text = environmentText, !text.isEmpty else { return nil }
    if let forced, available.contains(forced) { return nil }
    let names = available.map(\.rawValue).joined(separator: ", ")
    return "ATTNLAB_ISA: \(text) is not available here; it takes one of: \(names)"
  }

  /// Whether products of bfloat16 pairs are instructions of this set on this processor (AVX512-BF16).
  public var hasBFloat16Products: Bool {
    self == .avx512 && attn_isa_supported(Int32(ATTN_AVX512_BF16)) != 0
  }

  /// The number by which `CKernels` knows the set.
  public var code: Int32 {
    switch self {
    case .portable: 0
    case .avx2: 1
    case .avx512: 2
    }
  }

  private static var environmentText: String? { getenv("ATTNLAB_ISA").map { String(cString: $0) } }
  private static var forced: InstructionSet? { environmentText.flatMap(InstructionSet.init(rawValue:)) }
}
