import Basics
import Settings
import Tensors

/// The copying memory task: remember the first tokens across a stretch of blanks.
///
/// x = w₁ … w_M, L blanks (0), M markers (V − 1); the targets at the markers are w₁ … w_M. Symbols are uniform in
/// [1, V − 1). A model without memory scores log(V − 2) nats.
///
/// Source: Hochreiter and Schmidhuber 1997; Arjovsky, Shah and Bengio 2016 (arXiv:1511.06464); layout of
/// `copying.py` in github.com/state-spaces/s4.
public typealias Copying = MemoryTask<ContiguousWord>

/// Selective copying: M tokens scattered among blanks, to be written again in order.
///
/// The first M + L positions hold the tokens w₁ … w_M at random places in order and 0 elsewhere; M markers (V − 1)
/// follow, whose targets are w₁ … w_M. The gaps change from example to example, so a fixed shift does not solve it.
///
/// Source: Jing et al. 2019 (arXiv:1706.02761); Gu and Dao 2023, Mamba (arXiv:2312.00752), with 16 tokens in 4096;
/// layout of `copying.py` (`variable=True`) in github.com/state-spaces/s4.
public typealias SelectiveCopying = MemoryTask<ScatteredWord>

/// The word at the start.
public enum ContiguousWord: MemoryLayoutRule {
  /// Copying memory.
  public static let card = TaskCard(
    id: "copying", title: "Copying memory",
    paper: "Arjovsky, Shah and Bengio 2016, Unitary evolution recurrent neural networks",
    idea: "the first tokens, a stretch of blanks, then write the tokens again")
  /// 10 tokens, 100 blanks, 10 symbols.
  public static let defaults = (tokens: 10, blanks: 100, vocabulary: 10)
  /// The first places.
  public static func places(_ count: Int, of span: Int, _ generator: inout RandomGenerator) -> [Int] {
    Array(0..<count)
  }
}

/// The word's tokens at random places, in order.
public enum ScatteredWord: MemoryLayoutRule {
  /// Selective copying.
  public static let card = TaskCard(
    id: "selective-copying", title: "Selective copying",
    paper: "Gu and Dao 2023, Mamba: linear-time sequence modeling with selective state spaces",
    idea: "tokens scattered among blanks, then write them again in order")
  /// 16 tokens, 240 blanks, 16 symbols.
  public static let defaults = (tokens: 16, blanks: 240, vocabulary: 16)
  /// Distinct places, in order.
  public static func places(_ count: Int, of span: Int, _ generator: inout RandomGenerator) -> [Int] {
    distinct(count, in: 0..<span, &generator).sorted()
  }
}
