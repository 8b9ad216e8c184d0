"""More impressions of given fingers, and impressions of new ones, to enlarge a database."""
