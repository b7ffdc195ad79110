import Basics
import CKernels

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// How a forward pass multiplies bfloat16 inputs.
public enum BFloat16Road: String, CaseIterable, Hashable, Sendable, CustomStringConvertible {
  /// By dot products of bfloat16 pairs (AVX512-BF16); weights are down-converted to bfloat16.
  case products
  /// By float32 products of up-converted rows; weights stay float32.
  case upconvert

  /// The name that `ATTNLAB_BF16` uses.
  public var description: String { rawValue }
}

/// Which road is taken, and why.
///
/// Products of pairs do twice the work of a float32 product an instruction, but not on every processor at the same rate:
/// measured are 1.8 times the float32 rate (Zen 5) and 0.49 times (Emerald Rapids without AMX). The faster one is taken. Both
/// roads round differently, so a run chooses once and hands its choice to the processes of its cells.
public struct BFloat16Choice: Hashable, Sendable {
  /// Register-only loops on one thread, in operations a second.
  public struct Rates: Hashable, Sendable {
    /// Dot products of bfloat16 pairs.
    public let products: Double
    /// float32 multiply-adds.
    public let float32: Double

    /// Creates rates.
    public init(products: Double, float32: Double) { (self.products, self.float32) = (products, float32) }

    /// How many times as fast products of pairs are.
    public var ratio: Double { products / float32 }
  }

  /// The road.
  public let road: BFloat16Road
  /// Why, in a few words.
  public let reason: String
  /// What decided; `nil` when nothing had to be measured.
  public let rates: Rates?

  /// From how many times the float32 rate on products are taken: up-converted weights are more exact and cost 3 to 7 % of a pass.
  /// Processors have 0.5 or 1.8 and more, so a busy machine does not change the choice.
  public static let leastRatio = 1.2

  /// Chooses.
  /// - Parameters:
  ///   - hasProducts: whether there are instructions for pairs.
  ///   - forced: the user's choice; without instructions for pairs there is none.
  ///   - tuned: what `attnlab bench --tune` found to be faster here; `nil`: it was not asked.
  ///   - rates: asked when nothing else decides.
  public init(
    hasProducts: Bool, forced: BFloat16Road? = nil, tuned: BFloat16Road? = nil, rates: () -> Rates
  ) {
    guard hasProducts else {
      (road, reason, self.rates) = (.upconvert, "there is no instruction for products of bfloat16 pairs", nil)
      return
    }
    if let forced {
      (road, reason, self.rates) = (forced, "ATTNLAB_BF16 says so", nil)
      return
    }
    if let tuned {
      (road, reason, self.rates) = (
        tuned, "whole passes were faster on it when this processor was tuned", nil
      )
      return
    }
    let found = rates()
    let isFaster = found.ratio >= BFloat16Choice.leastRatio
    let times = (found.ratio * 100).rounded() / 100
    road = isFaster ? .products : .upconvert
    reason = "products of bfloat16 pairs run at \(times) times the float32 rate"
    self.rates = found
  }

  /// The choice for this process on AVX-512: that of the environment variable `ATTNLAB_BF16`, else of
  /// `attnlab bench --tune`, else by two rates that are measured once, when it is first asked for, in some milliseconds.
  public static let here = BFloat16Choice(
    hasProducts: InstructionSet.avx512.hasBFloat16Products, forced: forced,
    tuned: ProcessorChoices.resolved(.avx512).choices.bfloat16Road, rates: measure)

  /// The road of results that must come out with the same bits whenever they are asked for: that of `ATTNLAB_BF16`, else up-conversion.
  /// No measurement decides, which another process may have answered otherwise.
  public static var reproducible: BFloat16Road { forced ?? .upconvert }

  /// The choice for an instruction set.
  public static func of(_ set: InstructionSet) -> BFloat16Choice {
    set.hasBFloat16Products
      ? here
      : BFloat16Choice(hasProducts: false) { preconditionFailure("rates of instructions that are missing") }
  }

  /// One line when `ATTNLAB_BF16` cannot be honoured, else `nil`; the program refuses to start on it.
  public static var environmentProblem: String? {
    guard let text = environmentText, !text.isEmpty else { return nil }
    guard let forced else {
      let names = BFloat16Road.allCases.map(\.rawValue).joined(separator: " or ")
      return "ATTNLAB_BF16: \(text) is no road; it takes \(names)"
    }
    guard forced == .upconvert || InstructionSet.avx512.hasBFloat16Products else {
      return "ATTNLAB_BF16: products is not available here (no AVX512-BF16); it takes upconvert"
    }
    return nil
  }

  private static var environmentText: String? { getenv("ATTNLAB_BF16").map { String(cString: $0) } }
  private static var forced: BFloat16Road? { environmentText.flatMap(BFloat16Road.init(rawValue:)) }

  /// Both loops in turn, so that other work on the machine slows both; the best of each.
  private static func measure() -> Rates {
    let rounds: Int64 = 20_000
    func rate(_ loop: (Int64) -> Double) -> Double {
      let clock = ContinuousClock()
      let start = clock.now
      let operations = loop(rounds)
      return operations / max(1e-9, (clock.now - start).seconds)
    }
    var products = 0.0, float32 = 0.0
    for _ in 0..<16 {
      products = max(products, rate { attn_dot16_loop(Int32(ATTN_AVX512_BF16), $0) })
      float32 = max(float32, rate { attn_fma_loop(InstructionSet.avx512.code, $0) })
    }
    return Rates(products: products, float32: float32)
  }
}
