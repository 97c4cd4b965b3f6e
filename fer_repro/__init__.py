"""A replication of "An Improved Facial Expression Recognition using CNN-BiLSTM with Attention Mechanism".

Jayaraman and Mahendran, IJACSA, 2024. One module a section of the paper; the book explains each.
"""

__version__ = "0.1.0"
