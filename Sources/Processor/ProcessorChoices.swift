import Basics

/// What the engine and the products choose by the processor, all in one place.
///
/// A value is derived from what is read of the processor (`ProcessorChoice.derived`), or was kept by `attnlab bench --tune`, or is
/// forced by `ATTNLAB_CHOICES`. None is measured when a program starts: a noisy measurement would change bits from run to run.
/// Choices whose `changesBits` is false leave every result as it is; the others change how sums are grouped, so the last bits.
///
/// Not chosen here, for want of a processor on which something else was better: the register tiles (by instruction set, when
/// compiled), 64 rows a tile at most, 96 keys a block, 512 keys at a time where rows are computed one by one.
public struct ProcessorChoices: Hashable, Sendable {
  /// Bytes of the keys and values (and of their gradients) of a KV block, which the tiles of a group share.
  public var kvBlockBytes = 256 << 10
  /// Keys a row up to which tiles run one after the other, for their keys stay near.
  public var localKeys = 1024
  /// Tiles that share KV blocks, forward.
  public var forwardTiles = 4
  /// Tiles that share KV blocks, backward.
  public var backwardTiles = 8
  /// Tiles that run at once, backward, where rows see few keys.
  public var localBackwardTiles = 2
  /// Rows of a forward tile over a narrow band.
  public var bandRows = 32
  /// Rows of a backward tile over a narrow band.
  public var bandBackwardRows = 64
  /// Keys a row below which a band is narrow.
  public var bandKeys = 600
  /// Bytes of the first-level cache that the keys of a block may fill where several strips read them.
  public var nearBlockBytes = 16 << 10
  /// Keys of a KV split, at least.
  public var splitKeys = 2048
  /// Rows of a block of a packed product.
  public var productRows = 96
  /// The most k that a packed product takes at once.
  public var productDepth = 512
  /// Rows a multiple of 4 KiB apart that a product reads in place.
  public var pageRows = 8
  /// The product of the row distances of A and B, in floats, up to which a product that sums over rows reads both in place.
  public var placeDistances = 1 << 18
  /// Operations of a product from which on threads share it.
  public var parallelOperations = 1 << 19
  /// Weights above which threads share a product of few rows, bound by the reading of them.
  public var parallelWeights = 1 << 18
  /// Whether a tile prefetches the scattered rows of the next one: 1 or 0.
  public var prefetchesRows = 1
  /// Whether a tile that shares its keys with no other first reads a KV block of them in the order of memory: 1 or 0.
  public var warmsKeys = 1
  /// Bytes of keys and values above which a few rows ask for them ahead; 0: never.
  public var farBytes = 0
  /// How bfloat16 is multiplied, as it was tuned; `nil`: as `BFloat16Choice` says, by rates of two loops.
  public var bfloat16Road: BFloat16Road?

  /// What is taken of a processor of which nothing is known: what was best on the three kinds of processors that were measured.
  public static let assumed = ProcessorChoices()

  private init() {}

  /// What follows from a processor.
  public init(derivedFor processor: ProcessorDescription) {
    for choice in ProcessorChoice.all { self[choice] = choice.derived(processor).value }
  }

  /// The value of a choice.
  public subscript(choice: ProcessorChoice) -> Int {
    get { self[keyPath: choice.path] }
    set { self[keyPath: choice.path] = newValue }
  }

  /// All values as `ATTNLAB_CHOICES` takes them.
  public var text: String {
    let numbers = ProcessorChoice.all.map { "\($0.name)=\(self[$0])" }
    return (numbers + (bfloat16Road.map { ["\(Self.roadName)=\($0)"] } ?? [])).joined(separator: ",")
  }

  /// Those that change bits, as text: results of two contexts have the same bits where these are equal.
  public var textOfBits: String {
    let numbers = ProcessorChoice.all.filter(\.changesBits).map { "\($0.name)=\(self[$0])" }
    return (numbers + (bfloat16Road.map { ["\(Self.roadName)=\($0)"] } ?? [])).joined(separator: ",")
  }

  /// A number of 32 bits that differs where those differ, but for one chance in four thousand million.
  public var bitsHash: UInt32 { UInt32(truncatingIfNeeded: Fingerprint.hash(textOfBits.utf8)) }

  /// The name of bfloat16's road among the choices.
  public static let roadName = "bfloat16_road"
}
