"""Twelve sentences of twenty words; the last word of each is in no other."""

SENTENCES = (
    "The old man who lives next door walks his dog every morning before the shops open in the quiet village.",
    "My sister wanted to buy a new coat because winter was coming and the one she had was too small.",
    "We waited for the train for more than two hours and then somebody told us that it was not running.",
    "If you had called me yesterday I would have come to help you with the boxes and the heavy furniture.",
    "The teacher asked the children to open their books and read the first page of the story about the king.",
    "When the rain finally stopped we went outside and saw that the wind had broken the branches of our tree.",
    "He told me that he had never seen the sea before he came to visit his friends on the island.",
    "I do not think that the government will change the law this year because the elections are in the spring.",
    "She put the letter on the table and left the room without saying a word to her mother or father.",
    "They have been working on this project for six months but nobody knows when it will be ready for customers.",
    "The doctor said that I should drink more water and sleep at least eight hours in order to feel better.",
    "Tom forgot where he had parked his car so he walked around the town for hours and took a taxi.",
)
