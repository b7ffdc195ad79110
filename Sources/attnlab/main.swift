import Attention
import AttentionCore
import AttentionLab

AttentionLab.main(catalog: .standard)
