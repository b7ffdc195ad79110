import Layers
import Settings
import Tensors

/// A residual unit: `y = max(x′ + a(N₂(K₂ ∗ max(N₁(K₁ ∗ x), 0))), 0)`.
///
/// K₁ and K₂ are 3×3 convolutions, the first with the unit's stride, N₁ and N₂ norms, a what weighs the branch (nothing where there
/// is none); x′ is x, or `N(K ∗ x)` with a 1×1 convolution where the unit changes the channels or the grid.
/// - Source: He et al., 2016, Deep residual learning (the basic block, as in torchvision).
package struct ResidualBlock: ImageLayer {
  package let branch: ImageChain
  package let shortcut: ImageChain?

  /// - Parameter attention: what weighs the branch's result.
  package init(
    _ name: String, from input: Int, to output: Int, stride: Int = 1, groups: Int = 1,
    in parts: inout ImageParts, attention: (String, inout ImageParts) -> [any Layer] = { _, _ in [] }
  ) {
    let first = parts.activated(
      name + ".first", from: input, to: output, .centred(3, stride: stride), groups: groups)
    let second = parts.normed(name + ".second", from: output, to: output, .centred(3), groups: groups)
    branch = ImageChain(first + second + attention(name + ".attention", &parts))
    shortcut =
      stride == 1 && input == output
      ? nil
      : ImageChain(
        parts.normed(name + ".shortcut", from: input, to: output, Window(1, stride: stride)))
  }

  package func grid(over grid: Grid) throws(ConfigurationError) -> Grid { try branch.grid(over: grid) }

  package func forward(_ x: Tensor, _ run: LayerRun) throws -> (output: Tensor, pullback: Pullback) {
    let context = run.context
    let (f, branchBack) = try branch.forward(x, run)
    let past = try shortcut?.forward(x, run)
    let sum = try context.add(past?.output ?? x, f)
    let pullback = Pullback { dy, residual in
      let d = try context.activateBackward(dy, x: sum, .relu)
      return try context.sum(residual, branchBack(d, adding: past?.pullback(d) ?? d))
    }
    return (try context.activate(sum, .relu), pullback)
  }

  package func work(on size: WalkSize) -> [Work] {
    branch.work(on: size) + (shortcut?.work(on: size) ?? [])
  }
}
